package io.adclick.adserver;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;

/** A bid response in the making (../../../../../../../../openrtb/MAPPING.md, section 8). */
final class Response {
  /** A winner and its price in the response's currency; with {@code nobody} nothing of the user may be kept with its events. The engine's memory of it is used again for the next imp. */
  record Bid(
      BidRequest.Imp imp, Ad ad, NativeRequest asked, long priceMicros, long impressionIdHigh, long impressionId, long ecpmMicros,
      long enginePriceMicros, float pctr, float pcvr, String deal, boolean nobody) {}

  final List<Bid> bids = new ArrayList<>();
  long generation;
  long scored;
  long cut;
  long missing;
  /** What a test is told of the user. */
  String user;

  static String hex(long number) {
    return HexFormat.of().toHexDigits(number);
  }

  byte[] write(BidRequest request, Campaigns all, String currency, long bidId) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(1024);
    try (JsonGenerator json = Json.FACTORY.createGenerator(out)) {
      json.writeStartObject();
      json.writeStringField("id", request.id);
      json.writeArrayFieldStart("seatbid");
      json.writeStartObject();
      json.writeArrayFieldStart("bid");
      for (Bid bid : bids) {
        write(json, bid, all, request.test);
      }
      json.writeEndArray();
      json.writeStringField("seat", all.seat);
      json.writeEndObject();
      json.writeEndArray();
      json.writeStringField("bidid", hex(bidId));
      json.writeStringField("cur", currency);
      if (request.test) {
        openOwn(json);
        json.writeStringField("generation", hex(generation));
        json.writeNumberField("scored", scored);
        json.writeNumberField("cut", cut);
        json.writeNumberField("missing", missing);
        json.writeNumberField("left_out", request.leftOut);
        json.writeStringField("user", user);
        closeOwn(json);
      }
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory", e);
    }
    return out.toByteArray();
  }

  private static void openOwn(JsonGenerator json) throws IOException {
    json.writeObjectFieldStart("ext");
    json.writeObjectFieldStart("adclick");
  }

  private static void closeOwn(JsonGenerator json) throws IOException {
    json.writeEndObject();
    json.writeEndObject();
  }

  private static void write(JsonGenerator json, Bid bid, Campaigns all, boolean test) throws IOException {
    Ad ad = bid.ad;
    String impression = hex(bid.impressionIdHigh) + hex(bid.impressionId);
    json.writeStartObject();
    json.writeStringField("id", impression);
    impression += bid.nobody ? "n" : "";
    json.writeStringField("impid", bid.imp.id);
    json.writeFieldName("price");
    json.writeNumber(Money.units(bid.priceMicros));
    if (ad.nurl != null) {
      json.writeStringField("nurl", ad.nurl.with(impression));
    }
    if (ad.burl != null) {
      json.writeStringField("burl", ad.burl.with(impression));
    }
    json.writeStringField("adm", ad.shape == Ad.Shape.NATIVE ? nativeAd(bid.asked, ad, impression) : ad.adm.with(impression));
    json.writeStringField("adid", ad.id);
    json.writeArrayFieldStart("adomain");
    json.writeString(ad.advertiser.domain());
    json.writeEndArray();
    json.writeStringField("crid", ad.creative);
    if (!ad.bundle.isEmpty()) {
      json.writeStringField("bundle", ad.bundle);
    }
    if (!ad.cat.isEmpty()) {
      json.writeArrayFieldStart("cat");
      for (String category : ad.cat) {
        json.writeString(category);
      }
      json.writeEndArray();
      if (all.cattax != 1) {
        json.writeNumberField("cattax", all.cattax);
      }
    }
    if (!ad.attributes.isEmpty()) {
      json.writeArrayFieldStart("attr");
      for (long attribute : ad.attributes) {
        json.writeNumber(attribute);
      }
      json.writeEndArray();
    }
    if (!ad.language.isEmpty()) {
      json.writeStringField("language", ad.language);
    }
    if (!bid.deal.isEmpty()) {
      json.writeStringField("dealid", bid.deal);
    }
    json.writeNumberField("mtype", ad.shape.markupType);
    if (ad.shape != Ad.Shape.NATIVE) {
      json.writeNumberField("w", ad.w);
      json.writeNumberField("h", ad.h);
    }
    if (test) {
      openOwn(json);
      json.writeStringField("kind", ad.kind.name().toLowerCase(Locale.ROOT));
      json.writeNumberField("ecpm_micros", bid.ecpmMicros);
      json.writeNumberField("price_micros", bid.enginePriceMicros);
      json.writeNumberField("pctr", bid.pctr);
      if (!Float.isNaN(bid.pcvr)) {
        json.writeNumberField("pcvr", bid.pcvr);
      }
      closeOwn(json);
    }
    json.writeEndObject();
  }

  private static String nativeAd(NativeRequest asked, Ad ad, String impression) throws IOException {
    StringWriter out = new StringWriter();
    try (JsonGenerator json = Json.FACTORY.createGenerator(out)) {
      json.writeStartObject();
      if (asked.wrapped()) {
        json.writeObjectFieldStart("native");
      }
      json.writeStringField("ver", "1.2");
      json.writeArrayFieldStart("assets");
      for (NativeRequest.Asset asset : asked.assets()) {
        if (asset.filledBy(ad)) {
          write(json, asset, ad);
        }
      }
      json.writeEndArray();
      json.writeObjectFieldStart("link");
      json.writeStringField("url", ad.nativeAd.clickUrl().with(impression));
      json.writeEndObject();
      if (ad.nativeAd.impressionUrl() != null) {
        String url = ad.nativeAd.impressionUrl().with(impression);
        switch (asked.tracked()) {
          case IMP_TRACKERS -> {
            json.writeArrayFieldStart("imptrackers");
            json.writeString(url);
            json.writeEndArray();
          }
          case EVENT_TRACKERS -> {
            json.writeArrayFieldStart("eventtrackers");
            json.writeStartObject();
            json.writeNumberField("event", 1);
            json.writeNumberField("method", 1);
            json.writeStringField("url", url);
            json.writeEndObject();
            json.writeEndArray();
          }
          case NONE -> {}
        }
      }
      if (asked.wrapped()) {
        json.writeEndObject();
      }
      json.writeEndObject();
    }
    return out.toString();
  }

  private static void write(JsonGenerator json, NativeRequest.Asset asset, Ad ad) throws IOException {
    json.writeStartObject();
    json.writeNumberField("id", asset.id());
    switch (asset.asks()) {
      case TITLE -> write(json, "title", "text", ad.nativeAd.title());
      case SPONSOR -> write(json, "data", "value", ad.advertiser.name());
      case DESCRIPTION -> write(json, "data", "value", ad.nativeAd.description());
      case IMAGE -> write(json, ad.nativeAd.image());
      case ICON -> write(json, ad.nativeAd.icon());
      case NOTHING -> throw new IllegalStateException("an asset that nothing fills");
    }
    json.writeEndObject();
  }

  private static void write(JsonGenerator json, String object, String member, String text) throws IOException {
    json.writeObjectFieldStart(object);
    json.writeStringField(member, text);
    json.writeEndObject();
  }

  private static void write(JsonGenerator json, Ad.Picture picture) throws IOException {
    json.writeObjectFieldStart("img");
    json.writeStringField("url", picture.url());
    json.writeNumberField("w", picture.w());
    json.writeNumberField("h", picture.h());
    json.writeEndObject();
  }

  /** The body of a 400. */
  static byte[] invalid(Invalid why) {
    return object("nbr", 2L, "error", why.error, "at", why.at);
  }

  /** A flat object of names and their values, which are texts or integers. */
  static byte[] object(Object... members) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(128);
    try (JsonGenerator json = Json.FACTORY.createGenerator(out)) {
      json.writeStartObject();
      for (int i = 0; i < members.length; i += 2) {
        if (members[i + 1] instanceof Long number) {
          json.writeNumberField((String) members[i], number);
        } else {
          json.writeStringField((String) members[i], (String) members[i + 1]);
        }
      }
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory", e);
    }
    return out.toByteArray();
  }
}
