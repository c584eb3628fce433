package io.adclick.adserver;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** An OpenRTB bid request as the mapping reads it (../../../../../../../../openrtb/MAPPING.md, section 3). */
final class BidRequest {
  /** A place of the request. */
  static final class Imp {
    String id;
    /** The floor as its JSON text. */
    String floor = "0";

    String floorCurrency = "USD";
    boolean secure;
    boolean privateAuction;
    /** Sizes that a banner may have, width and height by turns. */
    long[] sizes = {};

    Video video;
    /** The native request's JSON text; null when there is none. */
    String nativeText;
  }

  /** What a video may be. */
  record Video(List<String> mimes, long minSeconds, long maxSeconds, long[] protocols) {}

  private static final long MAX_TIME = 9_007_199_254_740_991L;

  String id;
  long at;
  long tmax;
  List<String> cur;
  List<String> bcat;
  List<String> badv;
  String inventory = "";
  List<String> content = List.of();
  long deviceType;
  long connection;
  String os = "";
  String country = "";
  long utcOffsetMinutes;
  /** Empty when nobody may be known. */
  String user = "";
  /** Microseconds since 1970; -1 when the clock says it. */
  long timeMicros = -1;

  final List<Imp> imps = new ArrayList<>();

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
    boolean test = root.integer("test", 0, 1, 0) == 1;
    into.at = root.integer("at", 2);
    into.tmax = root.notNegative("tmax");
    into.cur = root.texts("cur", 64, false);
    into.bcat = root.texts("bcat", 4096, true);
    into.badv = root.texts("badv", 4096, false);
    into.readWhere(root);
    into.readWho(root);
    if (test) {
      Member ext = root.child("ext");
      Member own = ext == null ? null : ext.child("adclick");
      into.timeMicros = own == null ? -1 : own.integer("time_us", 0, MAX_TIME, -1);
    }
    into.readImps(root);
    return into;
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
  }

  private void readWho(Member root) throws Invalid {
    String ifa = "";
    boolean known = true;
    Member device = root.child("device");
    if (device != null) {
      deviceType = device.integer("devicetype", 0);
      os = Ascii.lower(device.text("os"));
      connection = device.integer("connectiontype", 0);
      ifa = device.text("ifa");
      boolean limited = device.integer("lmt", 0) == 1;
      boolean untracked = device.integer("dnt", 0) == 1;
      known = !limited && !untracked;
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
    }
    Member regs = root.child("regs");
    if (regs != null && regs.integer("coppa", 0) == 1) {
      known = false;
    }
    user = !known ? "" : user.isEmpty() ? ifa : user;
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
    for (int i = 0; i < items.size(); i++) {
      imps.add(readImp(root.entry("imp", items, i)));
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
    Json floor = from.find("bidfloor", Json.Kind.NUMBER);
    if (floor != null) {
      if (Money.floorMicros(floor.text) < 0) {
        throw from.refuse("range", "bidfloor");
      }
      imp.floor = floor.text;
    }
    Json currency = from.find("bidfloorcur", Json.Kind.TEXT);
    if (currency != null) {
      imp.floorCurrency = Ascii.upper(currency.text);
    }
    imp.secure = from.integer("secure", 0, 1, 0) == 1;
    Member pmp = from.child("pmp");
    imp.privateAuction = pmp != null && pmp.integer("private_auction", 0) == 1;
    Member banner = from.child("banner");
    if (banner != null) {
      imp.sizes = sizes(banner);
    }
    Member video = from.child("video");
    if (video != null) {
      List<String> mimes = video.texts("mimes", 64, false);
      long least = video.notNegative("minduration");
      long most = video.notNegative("maxduration");
      imp.video = new Video(mimes, least, most, video.integers("protocols", 64));
    }
    Member audio = from.child("audio");
    Member nativeAd = from.child("native");
    if (nativeAd != null) {
      imp.nativeText = nativeAd.requiredText("request");
    }
    if (banner == null && video == null && audio == null && nativeAd == null) {
      throw new Invalid("missing", from.path());
    }
    return imp;
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
