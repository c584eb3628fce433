package io.adclick.adserver;

import io.adclick.Adclick;
import io.adclick.BidKind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** The campaigns file: advertisers, ads, currencies (../../../../../../../../openrtb/MAPPING.md, section 2). */
final class Campaigns {
  /** A file that cannot be served from: which member, and why. */
  static final class Refused extends Exception {
    private static final long serialVersionUID = 1L;

    Refused(String message) {
      super(message);
    }
  }

  private static final int MAX_ADS = 10_000;
  private static final long MAX_BID = 100_000_000_000L;
  private static final Pattern CODE = Pattern.compile("[A-Z]{3}");
  private static final long MAX_VENDOR = 65_535;
  private static final Pattern LANGUAGE = Pattern.compile("[a-z]{2}");
  private static final Pattern LANDING = Pattern.compile("https?://[!#-~]*");
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9_-]+");

  long minCpm;
  String seat;
  /** In the Global Vendor List; 0 = none. */
  long vendor;

  long cattax;
  final List<Ad.Advertiser> advertisers = new ArrayList<>();
  final List<String> categories = new ArrayList<>();
  final List<Ad> ads = new ArrayList<>();
  private final Map<String, Long> rates = new HashMap<>();

  private final String events;

  private Campaigns(String events) {
    this.events = events;
  }

  /** Billionths of the own currency's unit; 0 when the currency is not known. */
  long rate(String currency) {
    return rates.getOrDefault(currency, 0L);
  }

  /** Events are taken at {@code events}, for the macro. */
  static Campaigns load(Path path, String events) throws Refused {
    try {
      Campaigns all = new Campaigns(events);
      all.read(Json.parse(ByteBuffer.wrap(Files.readAllBytes(path))));
      return all;
    } catch (IOException e) {
      throw new Refused(path + ": cannot be read");
    } catch (Json.Malformed e) {
      throw new Refused(path + ": expected a JSON text");
    } catch (Refused e) {
      throw new Refused(path + ": " + e.getMessage());
    }
  }

  /** An object of the file, read member by member. Nothing else may stand in it. */
  private record Part(Json held, String at) {
    static Part of(Json held, String at, String... known) throws Refused {
      if (held.kind != Json.Kind.OBJECT) {
        throw new Refused((at.isEmpty() ? "the file" : at) + ": expected an object");
      }
      for (String name : held.names) {
        if (!List.of(known).contains(name)) {
          throw new Refused((at.isEmpty() ? "the file" : at) + ": unknown member `" + name + "`");
        }
      }
      return new Part(held, at);
    }

    String at(String name) {
      return at.isEmpty() ? name : at + "." + name;
    }

    Refused refuse(String name, String why) {
      return new Refused(at(name) + ": " + why);
    }

    /** Null when there is none. */
    Json find(String name, Json.Kind kind) throws Refused {
      Json found = held.find(name);
      if (found != null && found.kind != kind) {
        throw refuse(name, "expected " + word(kind));
      }
      return found;
    }

    Json get(String name, Json.Kind kind) throws Refused {
      Json found = find(name, kind);
      if (found == null) {
        throw refuse(name, "is missing: expected " + word(kind));
      }
      return found;
    }

    private static String word(Json.Kind kind) {
      return switch (kind) {
        case OBJECT -> "an object";
        case LIST -> "a list";
        case TEXT -> "a text";
        case NUMBER -> "an integer";
        case BOOLEAN -> "true or false";
        case NULL -> "null";
      };
    }

    String text(String name) throws Refused {
      String text = get(name, Json.Kind.TEXT).text;
      if (text.isEmpty()) {
        throw refuse(name, "is empty");
      }
      return text;
    }

    /** Null when there is none. */
    Ad.Markup markup(String name, String ad, String events) throws Refused {
      return find(name, Json.Kind.TEXT) == null ? null : Ad.Markup.of(text(name), ad, events);
    }

    long number(String name) throws Refused {
      return integer(get(name, Json.Kind.NUMBER), name);
    }

    long number(String name, long otherwise) throws Refused {
      return held.find(name) == null ? otherwise : number(name);
    }

    /** Empty when there is none. */
    String textIfAny(String name) throws Refused {
      return held.find(name) == null ? "" : text(name);
    }

    private long integer(Json held, String name) throws Refused {
      if (held.kind == Json.Kind.NUMBER && Json.integral(held.text) == Json.Integral.YES) {
        long number = Long.parseLong(held.text);
        if (number >= 1 && number <= 100_000) {
          return number;
        }
      }
      throw refuse(name, "expected an integer from 1 to 100000");
    }

    /** Null when there is none. */
    Set<String> texts(String name) throws Refused {
      return find(name, Json.Kind.LIST) == null ? null : Set.copyOf(listOfTexts(name));
    }

    List<String> listOfTexts(String name) throws Refused {
      List<String> all = new ArrayList<>();
      for (Json item : get(name, Json.Kind.LIST).items) {
        if (item.kind != Json.Kind.TEXT || item.text.isEmpty()) {
          throw refuse(name, "expected texts that are not empty");
        }
        all.add(item.text);
      }
      return all;
    }

    /** Null when there is none. */
    Set<Long> integers(String name) throws Refused {
      Json list = find(name, Json.Kind.LIST);
      if (list == null) {
        return null;
      }
      Set<Long> all = new LinkedHashSet<>();
      for (Json item : list.items) {
        all.add(integer(item, name));
      }
      return all;
    }
  }

  private void read(Json root) throws Refused {
    Part file = Part.of(root, "", "currency", "min_cpm", "rates", "seat", "gdpr_vendor", "cattax", "advertisers", "ads");
    readMoney(file);
    seat = file.text("seat");
    vendor = file.number("gdpr_vendor", 0);
    if (vendor > MAX_VENDOR) {
      throw file.refuse("gdpr_vendor", "expected an integer from 1 to " + MAX_VENDOR);
    }
    cattax = file.number("cattax", 1);
    for (Json held : file.get("advertisers", Json.Kind.LIST).items) {
      Part one = Part.of(held, "advertisers[" + advertisers.size() + "]", "id", "name", "domain");
      advertisers.add(new Ad.Advertiser(one.text("id"), one.text("name"), one.text("domain")));
    }
    List<Json> list = file.get("ads", Json.Kind.LIST).items;
    if (list.isEmpty() || list.size() > MAX_ADS) {
      throw file.refuse("ads", "expected 1 to " + MAX_ADS + " ads");
    }
    Set<String> ids = new HashSet<>();
    for (Json held : list) {
      Part one =
          Part.of(
              held, "ads[" + ads.size() + "]", "id", "advertiser", "creative", "bid", "cat", "secure", "banner", "video",
              "native", "target", "nurl", "burl", "adm", "click_url", "impression_url", "landing_url", "language", "bundle",
              "attr", "deals", "only_deals");
      Ad ad = readAd(one);
      if (!ids.add(ad.id)) {
        throw one.refuse("id", "`" + ad.id + "` is there twice");
      }
      ads.add(ad);
    }
  }

  private void readMoney(Part file) throws Refused {
    String currency = file.text("currency");
    if (!CODE.matcher(currency).matches()) {
      throw file.refuse("currency", "expected three letters A to Z");
    }
    minCpm = Money.amount(file.text("min_cpm"));
    if (minCpm <= 0) {
      throw file.refuse("min_cpm", "expected an amount above 0, such as \"0.01\"");
    }
    rates.put(currency, Money.ONE);
    Json listed = file.get("rates", Json.Kind.OBJECT);
    for (int i = 0; i < listed.names.size(); i++) {
      String code = listed.names.get(i);
      Json held = listed.items.get(i);
      long rate = held.kind == Json.Kind.TEXT ? Money.rate(held.text) : 0;
      if (!CODE.matcher(code).matches() || rate == 0 || rates.putIfAbsent(code, rate) != null) {
        throw file.refuse("rates." + code, "expected another currency's code and a rate above 0, such as \"1.0842\"");
      }
    }
  }

  private Ad readAd(Part from) throws Refused {
    Ad ad = new Ad();
    ad.id = from.text("id");
    if (!ID.matcher(ad.id).matches()) {
      throw from.refuse("id", "expected letters, digits, `_` and `-`");
    }
    ad.key = Adclick.hash(ad.id);
    String by = from.text("advertiser");
    ad.advertiserIndex = -1;
    for (int i = 0; i < advertisers.size() && ad.advertiser == null; i++) {
      if (advertisers.get(i).id().equals(by)) {
        ad.advertiser = advertisers.get(i);
        ad.advertiserIndex = i;
      }
    }
    if (ad.advertiser == null) {
      throw from.refuse("advertiser", "`" + by + "` is not one of `advertisers`");
    }
    ad.advertiserKey = Adclick.hash(by);
    ad.creative = from.text("creative");
    readBid(Part.of(from.get("bid", Json.Kind.OBJECT), from.at("bid"), "kind", "amount", "currency"), ad);
    ad.secure = from.get("secure", Json.Kind.BOOLEAN).truth;
    ad.language = from.textIfAny("language");
    if (!ad.language.isEmpty() && !LANGUAGE.matcher(ad.language).matches()) {
      throw from.refuse("language", "expected two letters a to z");
    }
    ad.bundle = from.textIfAny("bundle");
    Set<String> deals = from.texts("deals");
    ad.deals = deals == null ? Set.of() : deals;
    Json only = from.find("only_deals", Json.Kind.BOOLEAN);
    ad.onlyDeals = only != null && only.truth;
    Set<Long> attributes = from.integers("attr");
    ad.attributes = attributes == null ? Set.of() : attributes;
    ad.cat = List.copyOf(from.listOfTexts("cat"));
    ad.categories = new int[ad.cat.size()];
    for (int i = 0; i < ad.categories.length; i++) {
      if (!categories.contains(ad.cat.get(i))) {
        categories.add(ad.cat.get(i));
      }
      ad.categories[i] = categories.indexOf(ad.cat.get(i));
    }
    ad.creativeKey = Adclick.hash(ad.creative);
    ad.categoryKey = ad.cat.isEmpty() ? 0 : Adclick.hash(ad.cat.get(0));
    readShape(from, ad);
    Json target = from.find("target", Json.Kind.OBJECT);
    if (target != null) {
      Part part = Part.of(target, from.at("target"), "country", "device_type", "os", "include", "exclude");
      ad.target =
          new Ad.Target(
              part.texts("country"), part.integers("device_type"), part.texts("os"), part.texts("include"),
              part.texts("exclude"));
    }
    ad.landingUrl = from.textIfAny("landing_url");
    if (!ad.landingUrl.isEmpty() && !LANDING.matcher(ad.landingUrl).matches()) {
      throw from.refuse("landing_url", "expected an http or https URL of printable ASCII without spaces and quotes");
    }
    ad.nurl = from.markup("nurl", ad.id, events);
    ad.burl = from.markup("burl", ad.id, events);
    return ad;
  }

  private void readBid(Part bid, Ad ad) throws Refused {
    ad.kind =
        switch (bid.text("kind")) {
          case "cpm" -> BidKind.CPM;
          case "cpc" -> BidKind.CPC;
          case "cpa" -> BidKind.CPA;
          case "ocpm" -> BidKind.OCPM;
          default -> throw bid.refuse("kind", "expected cpm, cpc, cpa or ocpm, found `" + bid.text("kind") + "`");
        };
    long rate = rate(bid.text("currency"));
    if (rate == 0) {
      throw bid.refuse("currency", "`" + bid.text("currency") + "` is not the own currency and not in `rates`");
    }
    long micros = Money.amount(bid.text("amount"));
    ad.bidMicros = micros < 0 ? 0 : Money.toOwnDown(micros, rate);
    if (ad.bidMicros == 0 || ad.bidMicros > MAX_BID) {
      throw bid.refuse(
          "amount", "expected an amount such as \"1.25\" above 0, worth up to 100000 units of the own currency");
    }
  }

  private void readShape(Part from, Ad ad) throws Refused {
    Json banner = from.find("banner", Json.Kind.OBJECT);
    Json video = from.find("video", Json.Kind.OBJECT);
    Json nativeAd = from.find("native", Json.Kind.OBJECT);
    if ((banner == null ? 0 : 1) + (video == null ? 0 : 1) + (nativeAd == null ? 0 : 1) != 1) {
      throw new Refused(from.at() + ": expected one of `banner`, `video` and `native`");
    }
    if (banner != null) {
      Part read = Part.of(banner, from.at("banner"), "w", "h");
      ad.shape = Ad.Shape.BANNER;
      ad.w = read.number("w");
      ad.h = read.number("h");
      ad.format = Adclick.hash(ad.w + "x" + ad.h);
    } else if (video != null) {
      Part read = Part.of(video, from.at("video"), "w", "h", "mime", "protocol", "seconds", "linearity", "placement", "plcmt");
      ad.shape = Ad.Shape.VIDEO;
      ad.w = read.number("w");
      ad.h = read.number("h");
      ad.mime = read.text("mime");
      ad.protocol = read.number("protocol");
      ad.seconds = read.number("seconds");
      ad.linearity = read.number("linearity", 1);
      if (ad.linearity > 2) {
        throw read.refuse("linearity", "expected 1 or 2");
      }
      ad.placement = read.integers("placement");
      ad.plcmt = read.integers("plcmt");
      ad.format = Adclick.hash(ad.shape.name().toLowerCase(Locale.ROOT));
    } else {
      Part read = Part.of(nativeAd, from.at("native"), "title", "description", "image", "icon");
      ad.shape = Ad.Shape.NATIVE;
      ad.nativeAd =
          new Ad.Native(
              read.text("title"), read.text("description"), picture(read, "image"), picture(read, "icon"),
              Ad.Markup.of(from.text("click_url"), ad.id, events), from.markup("impression_url", ad.id, events));
      ad.format = Adclick.hash(ad.shape.name().toLowerCase(Locale.ROOT));
      if (from.find("adm", Json.Kind.TEXT) != null) {
        throw from.refuse("adm", "a native ad has none");
      }
      return;
    }
    for (String name : List.of("click_url", "impression_url")) {
      if (from.find(name, Json.Kind.TEXT) != null) {
        throw from.refuse(name, "belongs to native ads");
      }
    }
    from.text("adm");
    ad.adm = from.markup("adm", ad.id, events);
  }

  private static Ad.Picture picture(Part from, String name) throws Refused {
    Part read = Part.of(from.get(name, Json.Kind.OBJECT), from.at(name), "url", "w", "h", "mime");
    return new Ad.Picture(read.text("url"), read.number("w"), read.number("h"), read.textIfAny("mime"));
  }
}
