package io.adclick.adserver;

import io.adclick.Adclick;
import io.adclick.AdclickException;
import io.adclick.Agent;
import io.adclick.ConversionKind;
import io.adclick.Engine;
import io.adclick.Event;
import io.adclick.Feedback;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.atomic.LongAdder;
import java.util.regex.Pattern;

/** What came of bids: impressions, clicks, conversions, notices (../../../../../../../../openrtb/MAPPING.md, section 9). */
final class Events {
  /**
   * Who sent an event, as far as HTTP says it.
   *
   * @param address empty when it is not known
   * @param purpose of a request that fetches ahead
   * @param refuses a header says that nothing of the user may be kept
   */
  record Client(String address, String userAgent, String purpose, boolean refuses) {}

  /**
   * An answer.
   *
   * @param status of HTTP
   * @param fate what became of the event; empty when it is invalid
   * @param location where a click goes on to; null when it does not
   * @param body JSON; empty for none
   */
  record Told(int status, String fate, String location, byte[] body) {}

  private static final int MAX_QUERY = 2048;
  static final int MAX_BODY = 4096;
  private static final long MAX_TIME = 9_007_199_254_740_991L;
  private static final long MAX_STAY_MILLIS = 86_400_000;
  private static final long AHEAD_MICROS = 60_000_000;
  private static final byte[] NONE = {};
  private static final Pattern INTEGER = Pattern.compile("-?[0-9]+");
  private static final Pattern TELLING = Pattern.compile("[a-z_]{1,32}");
  private static final Pattern IMPRESSION = Pattern.compile("[0-9a-f]{32}n?");
  private static final String BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  private static final Pattern IPV4 = Pattern.compile(BYTE + "(\\." + BYTE + "){3}");
  private static final Pattern IPV6 = Pattern.compile("[0-9a-fA-F:]*:[0-9a-fA-F:.]*");

  /** The parameters that each may have. */
  private static final Map<String, List<String>> PARAMETERS =
      Map.of(
          "win", List.of("i", "p"),
          "billed", List.of("i", "p"),
          "impression", List.of("i"),
          "viewable", List.of("i", "ms"),
          "click", List.of("i", "ad", "e"),
          "dwell", List.of("i", "ms"),
          "conversion",
              List.of("i", "advertiser", "order", "click", "user", "value", "cur", "kind", "type", "time_us", "nouser"),
          "feedback", List.of("i", "what", "answer"));

  final LongAdder recorded = new LongAdder();
  final LongAdder flagged = new LongAdder();
  final LongAdder noticed = new LongAdder();
  final LongAdder invalid = new LongAdder();

  private final Engine engine;
  private final Campaigns all;
  private final Map<String, Ad> ads = new HashMap<>();

  Events(Engine engine, Campaigns all) {
    this.engine = engine;
    this.all = all;
    all.ads.forEach(ad -> ads.put(ad.id, ad));
  }

  static boolean knows(String name) {
    return PARAMETERS.containsKey(name);
  }

  /** Takes an event. Its parameters are those of the query, or of a JSON object in the body when that is not empty. */
  Told take(String name, String query, byte[] body, Client from) {
    try {
      Told told = record(name, new Values(parameters(name, query, body)), from);
      (told.fate.equals("recorded") ? recorded : told.fate.equals("noticed") ? noticed : flagged).increment();
      return told;
    } catch (Invalid e) {
      invalid.increment();
      return new Told(400, "", null, Response.invalid(e));
    }
  }

  private static Map<String, String> parameters(String name, String query, byte[] body) throws Invalid {
    if (query.length() > MAX_QUERY || body.length > MAX_BODY) {
      throw new Invalid("too_large", "");
    }
    if (!query.isEmpty() && body.length > 0) {
      throw new Invalid("conflict", "");
    }
    Map<String, String> held = new HashMap<>();
    // The first by name is told, since objects have no order.
    TreeSet<String> unknown = new TreeSet<>();
    TreeSet<String> wrong = new TreeSet<>();
    List<String> known = PARAMETERS.get(name);
    if (body.length > 0) {
      Json root = object(body);
      for (String called : root.names) {
        Json value = root.find(called);
        if (!known.contains(called)) {
          unknown.add(called);
        } else if (value != null && value.kind != Json.Kind.TEXT && value.kind != Json.Kind.NUMBER) {
          wrong.add(called);
        } else if (value != null) {
          held.put(called, value.text);
        }
      }
    }
    for (String pair : query.isEmpty() ? new String[0] : query.split("&")) {
      if (pair.isEmpty()) {
        continue;
      }
      int equals = pair.indexOf('=');
      String called = decoded(equals < 0 ? pair : pair.substring(0, equals));
      String value = equals < 0 ? "" : decoded(pair.substring(equals + 1));
      if (!known.contains(called)) {
        unknown.add(called);
      } else if (held.put(called, value) != null) {
        wrong.add(called);
      }
    }
    if (!unknown.isEmpty()) {
      throw new Invalid("unknown", TELLING.matcher(unknown.first()).matches() ? unknown.first() : "");
    }
    if (!wrong.isEmpty()) {
      throw new Invalid(body.length > 0 ? "type" : "duplicate", wrong.first());
    }
    return held;
  }

  private static Json object(byte[] body) throws Invalid {
    Json root;
    try {
      root = Json.parse(ByteBuffer.wrap(body));
    } catch (Json.Malformed e) {
      throw new Invalid(e.tooDeep ? "depth" : "json", "");
    }
    if (root.kind != Json.Kind.OBJECT) {
      throw new Invalid("type", "");
    }
    return root;
  }

  /** A part of a query without its escapes: printable ASCII. */
  private static String decoded(String part) throws Invalid {
    StringBuilder out = new StringBuilder(part.length());
    for (int i = 0; i < part.length(); i++) {
      char c = part.charAt(i) == '+' ? ' ' : part.charAt(i);
      if (c == '%') {
        if (i + 3 > part.length() || !HexFormat.isHexDigit(part.charAt(i + 1)) || !HexFormat.isHexDigit(part.charAt(i + 2))) {
          throw new Invalid("query", "");
        }
        c = (char) HexFormat.fromHexDigits(part, i + 1, i + 3);
        i += 2;
      }
      if (c < ' ' || c > '~') {
        throw new Invalid("query", "");
      }
      out.append(c);
    }
    return out.toString();
  }

  /** The values of an event, checked one by one. */
  private record Values(Map<String, String> held) {
    boolean has(String name) {
      return held.containsKey(name);
    }

    /** A text that is not empty; null when it is not there. */
    String text(String name, int most) throws Invalid {
      String text = held.get(name);
      if (text != null && text.isEmpty()) {
        throw new Invalid("empty", name);
      }
      if (text != null && text.getBytes(StandardCharsets.UTF_8).length > most) {
        throw new Invalid("range", name);
      }
      return text;
    }

    String need(String name, int most) throws Invalid {
      String text = text(name, most);
      if (text == null) {
        throw new Invalid("missing", name);
      }
      return text;
    }

    long integer(String name, long least, long most, long otherwise) throws Invalid {
      String text = held.get(name);
      if (text == null) {
        return otherwise;
      }
      if (!INTEGER.matcher(text).matches()) {
        throw new Invalid("type", name);
      }
      long number;
      try {
        number = Long.parseLong(text);
      } catch (NumberFormatException e) {
        throw new Invalid("range", name);
      }
      if (number < least || number > most) {
        throw new Invalid("range", name);
      }
      return number;
    }

    /** The place of a word in a list, from 0; -1 when it is not there. */
    int word(String name, String... words) throws Invalid {
      String text = held.get(name);
      int at = Arrays.asList(words).indexOf(text);
      if (text != null && at < 0) {
        throw new Invalid("range", name);
      }
      return at;
    }
  }

  /** An impression: 32 hex digits, and n after them when nothing of the user may be kept. Whether there is one. */
  private static boolean impression(Values from, Event into) throws Invalid {
    String text = from.held.get("i");
    if (text == null) {
      return false;
    }
    if (!IMPRESSION.matcher(text).matches()) {
      throw new Invalid("type", "i");
    }
    long high = HexFormat.fromHexDigitsToLong(text, 0, 16);
    long low = HexFormat.fromHexDigitsToLong(text, 16, 32);
    if (high == 0 && low == 0) {
      throw new Invalid("range", "i");
    }
    into.impression(low, high);
    return true;
  }

  private Told record(String name, Values read, Client from) throws Invalid {
    long now = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    Event event = new Event().timeMicros(now);
    boolean named = impression(read, event);
    boolean nobody = named && read.held.get("i").length() == 33;
    if (!named && !name.equals("conversion")) {
      throw new Invalid("missing", "i");
    }
    Event.Kind kind = Event.Kind.IMPRESSION;
    Ad shown = null;
    switch (name) {
      case "win", "billed" -> {
        if (read.held.getOrDefault("p", "").getBytes(StandardCharsets.UTF_8).length > 64) {
          throw new Invalid("range", "p");
        }
        return new Told(204, "noticed", null, NONE);
      }
      case "viewable", "dwell" -> {
        kind = name.equals("dwell") ? Event.Kind.DWELL : Event.Kind.VIEWABLE;
        long millis = read.integer("ms", 0, MAX_STAY_MILLIS, -1);
        if (millis < 0 && kind == Event.Kind.DWELL) {
          throw new Invalid("missing", "ms");
        }
        event.durationMicros(1000 * Math.max(0, millis));
      }
      case "click" -> {
        kind = Event.Kind.CLICK;
        String id = read.text("ad", 256);
        shown = id == null ? null : ads.get(id);
        if (id != null && shown == null) {
          throw new Invalid("unknown", "ad");
        }
        String click = read.text("e", 64);
        if (click != null) {
          event.eventId(Adclick.hash(click));
        }
      }
      case "conversion" -> {
        kind = Event.Kind.CONVERSION;
        nobody |= conversion(read, now, event);
        if (!named && !read.has("click") && !read.has("user")) {
          throw new Invalid("missing", "i");
        }
      }
      case "feedback" -> {
        kind = Event.Kind.FEEDBACK;
        int what = read.word("what", "hidden", "reported", "answered");
        if (what < 0) {
          throw new Invalid("missing", "what");
        }
        event.feedback(List.of(Feedback.HIDDEN, Feedback.REPORTED, Feedback.ANSWERED).get(what));
        event.answer((int) read.integer("answer", Integer.MIN_VALUE, Integer.MAX_VALUE, 0));
      }
      default -> {}
    }
    // A shop's server reports conversions: it is not the user's address.
    if (kind != Event.Kind.CONVERSION) {
      nobody |= from.refuses;
      event.ipClass(nobody ? 0 : addressClass(from.address)).agent(agent(from.userAgent, from.purpose));
    }
    event.keepNoUser(nobody);
    return told(kind, event, shown);
  }

  private Told told(Event.Kind kind, Event event, Ad shown) {
    Event.Seen seen;
    try {
      seen = engine.record(kind, event);
    } catch (AdclickException e) {
      System.err.println("adserver: the engine refused an event: " + e.getMessage());
      return new Told(503, "failed", null, Response.object("event", "failed"));
    }
    int status = seen.forged() ? 403 : seen.expired() ? 410 : seen.early() ? 422 : seen.repeated() ? 409 : 204;
    String fate =
        seen.forged() ? "forged" : seen.expired() ? "expired" : seen.early() ? "early" : seen.repeated() ? "repeated" : "recorded";
    if (shown != null && !shown.landingUrl.isEmpty() && !seen.forged()) {
      return new Told(302, fate, shown.landingUrl, NONE);
    }
    return new Told(status, fate, null, status == 204 ? NONE : Response.object("event", fate));
  }

  /** Whether it says that the user must not be kept. */
  private boolean conversion(Values read, long now, Event into) throws Invalid {
    String advertiser = read.need("advertiser", 256);
    if (all.advertisers.stream().noneMatch(one -> one.id().equals(advertiser))) {
      throw new Invalid("unknown", "advertiser");
    }
    into.advertiserKey(Adclick.hash(advertiser)).orderId(Adclick.hash(read.need("order", 128)));
    String click = read.text("click", 64);
    if (click != null) {
      into.clickId(Adclick.hash(click));
    }
    String user = read.text("user", 256);
    if (user != null) {
      into.userKey(Adclick.hash(user));
    }
    long micros = read.has("value") ? Money.amount(read.held.get("value")) : 0;
    if (micros < 0) {
      throw new Invalid("type", "value");
    }
    String currency = read.text("cur", 3);
    long rate = currency == null ? Money.ONE : all.rate(currency);
    if (rate == 0) {
      throw new Invalid("unknown", "cur");
    }
    into.valueMicros(Money.toOwnDown(micros, rate));
    int kind = read.word("kind", "new", "restated", "retracted");
    into.conversionKind(List.of(ConversionKind.NEW, ConversionKind.RESTATED, ConversionKind.RETRACTED).get(Math.max(0, kind)));
    into.conversionType((int) read.integer("type", 0, Integer.MAX_VALUE, 0));
    into.timeMicros(read.integer("time_us", 1, Math.min(MAX_TIME, now + AHEAD_MICROS), now));
    return read.integer("nouser", 0, 1, 0) == 1;
  }

  /** A hash of the first 24 bits of an address (IPv4) or 48 (IPv6); 0 when it is none. */
  static long addressClass(String text) {
    // No text that could be a name gets further: names would be looked up.
    if (!IPV4.matcher(text).matches() && !IPV6.matcher(text).matches()) {
      return 0;
    }
    try {
      byte[] bytes = InetAddress.getByName(text).getAddress();
      return Adclick.hash(HexFormat.of().formatHex(bytes, 0, bytes.length == 4 ? 3 : 6));
    } catch (UnknownHostException e) {
      return 0;
    }
  }

  /** The last proxies that are believed say where a request came from; empty when there are not as many. */
  static String hop(List<String> forwarded, int proxies) {
    List<String> hops = new ArrayList<>(Arrays.asList(String.join(",", forwarded).split(",", -1)));
    return hops.size() < proxies ? "" : hops.get(hops.size() - proxies).strip();
  }

  static Agent agent(String userAgent, String purpose) {
    if (has(purpose, "prefetch", "prerender", "preview")) {
      return Agent.PREFETCH;
    }
    if (has(userAgent, "bot", "crawl", "spider", "slurp", "headless", "curl/", "wget/", "python-", "go-http-client")) {
      return Agent.ROBOT;
    }
    return userAgent.isEmpty() ? Agent.UNSTATED : Agent.BROWSER;
  }

  private static boolean has(String text, String... words) {
    String low = Ascii.lower(text);
    return Arrays.stream(words).anyMatch(low::contains);
  }
}
