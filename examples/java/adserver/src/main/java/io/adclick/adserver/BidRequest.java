package io.adclick.adserver;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** An OpenRTB bid request as the mapping reads it (../../../../../../../../openrtb/MAPPING.md, section 3). */
final class BidRequest {
  /**
   * Terms on which an imp is sold: the open auction's, or a deal's.
   *
   * @param deal its id; empty for the open auction
   * @param floor as its JSON text
   * @param domains in lower case
   */
  record Terms(String deal, String floor, String floorCurrency, long at, List<String> seats, List<String> domains) {}

  /** A place of the request. */
  static final class Imp {
    String id;
    Terms open;
    final List<Terms> deals = new ArrayList<>();
    /** On the page, by the standard's list; 0 = not said. */
    long position;

    boolean secure;
    boolean privateAuction;
    /** Sizes that a banner may have, width and height by turns. */
    long[] sizes = {};

    Video video;
    /** The native request: a text, or an object; null when there is none. */
    Json nativeRequest;
    /** Attributes that a creative must not have. */
    long[] bannerAttributes = {};

    long[] videoAttributes = {};
    long[] nativeAttributes = {};
  }

  /** What a video may be; 0 = any. {@code dedupe} says what two ads of a pod may not share. */
  record Video(
      List<String> mimes, long minSeconds, long maxSeconds, long[] protocols, long linearity, long placement, long plcmt,
      long[] durations, String pod, long[] dedupe) {}

  private static final long MAX_TIME = 9_007_199_254_740_991L;

  String id;
  boolean test;
  long at;
  long tmax;
  List<String> cur;
  List<String> bcat;
  List<String> badv;
  List<String> bapp;
  /** Without empty texts. */
  List<String> acat;

  long cattax;
  List<String> wseat;
  List<String> bseat;
  /** In lower case; none = any. */
  final List<String> languages = new ArrayList<>();

  boolean outOfHome;
  String inventory = "";
  List<String> content = List.of();
  long deviceType;
  long connection;
  String os = "";
  String country = "";
  long utcOffsetMinutes;
  /** Empty when there is none. */
  String user = "";
  /** The user may not be known, whatever the signals say. */
  boolean limited;
  /** Objects with the signals of consent; null when they are not there. */
  Json regs;

  Json person;
  /** Microseconds since 1970; -1 when the clock says it. */
  long timeMicros = -1;

  final List<Imp> imps = new ArrayList<>();
  /** Imps that cannot be read. */
  int leftOut;

  private BidRequest() {}

  static BidRequest read(ByteBuffer body) throws Invalid {
    Json tree;
    try {
      tree = Json.parse(body);
    } catch (Json.Malformed e) {
      throw new Invalid(e.tooDeep ? "depth" : "json", "");
    }
    Member root = Member.root(tree);
    BidRequest into = new BidRequest();
    into.id = root.requiredId("id");
    into.test = root.integer("test", 0, 1, 0) == 1;
    into.at = root.integer("at", 2);
    into.tmax = root.notNegative("tmax");
    into.cur = root.texts("cur", 64, false);
    into.bcat = root.texts("bcat", 4096, true);
    into.badv = root.texts("badv", 4096, false);
    into.bapp = root.texts("bapp", 4096, false);
    into.acat = root.texts("acat", 4096, true);
    into.acat.removeIf(String::isEmpty);
    into.cattax = root.integer("cattax", 1);
    into.wseat = root.texts("wseat", 4096, false);
    into.bseat = root.texts("bseat", 4096, false);
    into.readLanguages(root.texts("wlang", 4096, false));
    into.readLanguages(root.texts("wlangb", 4096, false));
    into.readWhere(root);
    into.readWho(root);
    if (into.test) {
      Member ext = root.child("ext");
      Member own = ext == null ? null : ext.child("adclick");
      into.timeMicros = own == null ? -1 : own.integer("time_us", 0, MAX_TIME, -1);
    }
    into.readImps(root);
    return into;
  }

  /** The first part of a tag such as de-AT counts. */
  private void readLanguages(List<String> tags) {
    for (String tag : tags) {
      if (!tag.isEmpty()) {
        int end = tag.indexOf('-');
        languages.add(Ascii.lower(end < 0 ? tag : tag.substring(0, end)));
      }
    }
  }

  private void readWhere(Member root) throws Invalid {
    Member site = root.child("site");
    if (site != null) {
      String id = site.text("id");
      String domain = site.text("domain");
      content = site.texts("cat", 256, true);
      inventory = domain.isEmpty() ? id : Ascii.lower(domain);
      if (root.has("app")) {
        throw root.refuse("conflict", "app");
      }
    }
    Member app = root.child("app");
    if (app != null) {
      String id = app.text("id");
      String bundle = app.text("bundle");
      content = app.texts("cat", 256, true);
      inventory = bundle.isEmpty() ? id : bundle;
    }
    if ((site != null || app != null) && root.has("dooh")) {
      throw root.refuse("conflict", "dooh");
    }
    outOfHome = root.child("dooh") != null;
  }

  private void readWho(Member root) throws Invalid {
    String ifa = "";
    Member device = root.child("device");
    if (device != null) {
      deviceType = device.integer("devicetype", 0);
      os = Ascii.lower(device.text("os"));
      connection = device.integer("connectiontype", 0);
      ifa = device.text("ifa");
      limited = device.integer("lmt", 0) == 1;
      limited |= device.integer("dnt", 0) == 1;
      Member geo = device.child("geo");
      if (geo != null) {
        country = Ascii.upper(geo.text("country"));
        utcOffsetMinutes = geo.integer("utcoffset", -1440, 1440, 0);
      }
    }
    Member person = root.child("user");
    if (person != null) {
      String id = person.text("id");
      String buyer = person.text("buyeruid");
      user = buyer.isEmpty() ? id : buyer;
      this.person = person.held();
    }
    Member rules = root.child("regs");
    if (rules != null) {
      limited |= rules.integer("coppa", 0) == 1;
      regs = rules.held();
    }
    user = user.isEmpty() ? ifa : user;
  }

  private void readImps(Member root) throws Invalid {
    Json list = root.find("imp", Json.Kind.LIST);
    if (list == null) {
      throw root.refuse("missing", "imp");
    }
    if (list.items.isEmpty()) {
      throw root.refuse("empty", "imp");
    }
    List<Json> items = root.list("imp", 32);
    Invalid why = null;
    for (int i = 0; i < items.size(); i++) {
      try {
        imps.add(readImp(root.entry("imp", items, i)));
      } catch (Invalid e) {
        why = why == null ? e : why;
        leftOut++;
      }
    }
    if (imps.isEmpty()) {
      throw why;
    }
  }

  private Imp readImp(Member from) throws Invalid {
    Imp imp = new Imp();
    imp.id = from.requiredId("id");
    for (Imp earlier : imps) {
      if (earlier.id.equals(imp.id)) {
        throw from.refuse("duplicate", "id");
      }
    }
    // A deal's price is a matter of deals.
    imp.open = new Terms("", floor(from), floorCurrency(from), at == 3 ? 1 : at, List.of(), List.of());
    imp.secure = from.integer("secure", 0, 1, 0) == 1;
    Member pmp = from.child("pmp");
    if (pmp != null) {
      imp.privateAuction = pmp.integer("private_auction", 0) == 1;
      List<Json> deals = pmp.list("deals", 256);
      for (int i = 0; i < deals.size(); i++) {
        imp.deals.add(readDeal(pmp.entry("deals", deals, i)));
      }
    }
    Member banner = from.child("banner");
    if (banner != null) {
      imp.sizes = sizes(banner);
      imp.position = banner.integer("pos", 0);
      imp.bannerAttributes = banner.integers("battr", 64);
    }
    Member video = from.child("video");
    if (video != null) {
      List<String> mimes = video.texts("mimes", 64, false);
      long least = video.notNegative("minduration");
      long most = video.notNegative("maxduration");
      long[] protocols = video.integers("protocols", 64);
      long linearity = video.integer("linearity", 0);
      long placement = video.integer("placement", 0);
      long plcmt = video.integer("plcmt", 0);
      long[] durations = video.integers("rqddurs", 64);
      long position = video.integer("pos", 0);
      imp.position = imp.position != 0 ? imp.position : position;
      String pod = video.text("podid");
      long[] dedupe = video.integers("poddedupe", 64);
      imp.video = new Video(mimes, least, most, protocols, linearity, placement, plcmt, durations, pod, dedupe);
      imp.videoAttributes = video.integers("battr", 64);
    }
    Member audio = from.child("audio");
    Member nativeAd = from.child("native");
    if (nativeAd != null) {
      imp.nativeRequest = nativeAd.textOrObject("request");
      imp.nativeAttributes = nativeAd.integers("battr", 64);
    }
    if (banner == null && video == null && audio == null && nativeAd == null) {
      throw new Invalid("missing", from.path());
    }
    return imp;
  }

  private static String floor(Member from) throws Invalid {
    Json floor = from.find("bidfloor", Json.Kind.NUMBER);
    if (floor == null) {
      return "0";
    }
    if (Money.floorMicros(floor.text) < 0) {
      throw from.refuse("range", "bidfloor");
    }
    return floor.text;
  }

  private static String floorCurrency(Member from) throws Invalid {
    Json currency = from.find("bidfloorcur", Json.Kind.TEXT);
    return currency == null ? "USD" : Ascii.upper(currency.text);
  }

  private Terms readDeal(Member from) throws Invalid {
    String id = from.requiredId("id");
    String floor = floor(from);
    String currency = floorCurrency(from);
    long how = from.integer("at", at);
    List<String> seats = from.texts("wseat", 4096, false);
    List<String> domains = from.texts("wadomain", 4096, false);
    domains.replaceAll(Ascii::lower);
    return new Terms(id, floor, currency, how, seats, domains);
  }

  private static long[] sizes(Member banner) throws Invalid {
    List<Json> formats = banner.list("format", 64);
    long[] sizes = new long[2 * formats.size() + 2];
    int n = 0;
    for (int i = 0; i < formats.size(); i++) {
      Member format = banner.entry("format", formats, i);
      n = add(sizes, n, format.notNegative("w"), format.notNegative("h"));
    }
    long w = banner.notNegative("w");
    long h = banner.notNegative("h");
    if (n == 0) {
      n = add(sizes, n, w, h);
    }
    return java.util.Arrays.copyOf(sizes, n);
  }

  private static int add(long[] sizes, int n, long w, long h) {
    if (w == 0 || h == 0) {
      return n;
    }
    sizes[n] = w;
    sizes[n + 1] = h;
    return n + 2;
  }
}
