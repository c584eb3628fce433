package io.adclick.adserver;

import io.adclick.BidKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** An ad of the campaigns file. */
final class Ad {
  enum Shape {
    BANNER(1),
    VIDEO(2),
    NATIVE(4);

    /** The standard's number, {@code mtype}. */
    final int markupType;

    Shape(int markupType) {
      this.markupType = markupType;
    }
  }

  record Advertiser(String id, String name, String domain) {}

  /** {@code mime} is empty when the file does not say it. */
  record Picture(String url, long w, long h, String mime) {}

  /** What a native ad shows. */
  record Native(
      String title, String description, Picture image, Picture icon, Markup clickUrl, Markup impressionUrl) {}

  /** Whom it is for; a list that is null takes everybody. */
  record Target(Set<String> country, Set<Long> deviceType, Set<String> os, Set<String> include, Set<String> exclude) {
    static final Target ANYBODY = new Target(null, null, null, null, null);

    boolean takes(BidRequest request) {
      return takes(country, request.country)
          && takes(deviceType, request.deviceType)
          && takes(os, request.os)
          && takes(include, request.inventory)
          && (exclude == null || !exclude.contains(request.inventory));
    }

    private static <T> boolean takes(Set<T> list, T one) {
      return list == null || list.contains(one);
    }
  }

  /** A text with macros. What stands between {@code {{impression}}} waits in parts. */
  record Markup(List<String> parts) {
    static final String IMPRESSION = "{{impression}}";

    static Markup of(String text, String ad, String events) {
      List<String> parts = new ArrayList<>();
      int begin = 0;
      for (int at = text.indexOf(IMPRESSION); at >= 0; at = text.indexOf(IMPRESSION, begin)) {
        parts.add(fixed(text.substring(begin, at), ad, events));
        begin = at + IMPRESSION.length();
      }
      parts.add(fixed(text.substring(begin), ad, events));
      return new Markup(List.copyOf(parts));
    }

    private static String fixed(String text, String ad, String events) {
      return text.replace("{{ad}}", ad).replace("{{events}}", events);
    }

    String with(String impression) {
      return String.join(impression, parts);
    }
  }

  String id;
  long key;
  Advertiser advertiser;
  /** Its place in {@link Campaigns#advertisers}. */
  int advertiserIndex;

  long advertiserKey;
  String creative;
  BidKind kind;
  /** In the own currency. */
  long bidMicros;

  List<String> cat;
  /** Places in {@link Campaigns#categories}. */
  int[] categories;

  boolean secure;
  /** Empty when the file does not say it. */
  String language;

  /** The id of the app that it is for; empty when it is for none. */
  String bundle;

  Set<Long> attributes;
  long creativeKey;
  /** Of the first; 0 when there is none. */
  long categoryKey;

  /** That it is sold by. */
  Set<String> deals;

  boolean onlyDeals;
  Shape shape;
  /** The id that the feature {@code format} takes. */
  long format;

  long w;
  long h;
  String mime;
  long protocol;
  long seconds;
  long linearity;
  /** These two are null when any will do. */
  Set<Long> placement;

  Set<Long> plcmt;
  Native nativeAd;
  Target target = Target.ANYBODY;
  /** Where a click is sent on to; empty when it goes nowhere. */
  String landingUrl;

  /** These three are null when the ad has none. */
  Markup nurl;

  Markup burl;
  Markup adm;
}
