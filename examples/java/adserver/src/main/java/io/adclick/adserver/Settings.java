package io.adclick.adserver;

import java.nio.file.Path;

/** The command line (../../../../../../../../openrtb/MAPPING.md, section 1). */
record Settings(
    String host, int port, Path bundles, Path campaigns, int threads, long marginMillis, Limits limits, Loop loop) {
  /**
   * What comes of bids.
   *
   * @param eventsUrl what bids lead to, without the path
   * @param forwarded proxies before this server, whose x-forwarded-for is believed
   * @param log a directory; null for no log
   * @param keyFile with the key of impression ids; null for one that only this server has
   * @param slates the share of requests that are logged with the values that the model saw
   */
  record Loop(String eventsUrl, int forwarded, Path log, Path keyFile, double slates) {
    static final Loop NONE = new Loop("http://127.0.0.1", 0, null, null, 0);
  }

  private static final String BASE = "https?://[A-Za-z0-9.:\\[\\]_~-]([A-Za-z0-9.:\\[\\]_~/-]*[A-Za-z0-9.:\\[\\]_~-])?";

  /**
   * What connections may do.
   *
   * @param drainMillis from the signal to the end of the listener: /healthz says 503, and bid requests are answered
   * @param headMillis for the head of a request from its first byte
   * @param bodyMillis for its body from then on
   * @param connections at once; more are closed
   */
  record Limits(long drainMillis, long headMillis, long bodyMillis, int connections) {
    static final Limits USUAL = new Limits(5000, 5000, 10_000, 4096);
  }

  static Settings parse(String[] args) {
    String host = "127.0.0.1";
    int port = 8080;
    Path bundles = null;
    Path campaigns = null;
    int threads = Runtime.getRuntime().availableProcessors();
    long margin = 20;
    Limits limits = Limits.USUAL;
    long drain = limits.drainMillis;
    long head = limits.headMillis;
    long body = limits.bodyMillis;
    int connections = limits.connections;
    String events = null;
    int forwarded = 0;
    Path log = null;
    Path keyFile = null;
    double slates = 1;
    for (int i = 0; i < args.length; i += 2) {
      if (i + 1 == args.length) {
        throw new IllegalArgumentException(args[i] + " needs a value");
      }
      String held = args[i + 1];
      switch (args[i]) {
        case "--bundles" -> bundles = Path.of(held);
        case "--campaigns" -> campaigns = Path.of(held);
        case "--listen" -> {
          int colon = held.lastIndexOf(':');
          if (colon < 0) {
            throw new IllegalArgumentException("HOST:PORT");
          }
          host = held.substring(0, colon);
          port = number(held.substring(colon + 1), 0, 65_535);
        }
        case "--threads" -> threads = number(held, 1, 1024);
        case "--margin-ms" -> margin = number(held, 0, 60_000);
        case "--drain-ms" -> drain = number(held, 0, 600_000);
        case "--head-ms" -> head = number(held, 1, 60_000);
        case "--body-ms" -> body = number(held, 1, 60_000);
        case "--events-url" -> events = matching(held, BASE);
        case "--forwarded" -> forwarded = number(held, 0, 8);
        case "--log" -> log = Path.of(held);
        case "--log-key-file" -> keyFile = Path.of(held);
        case "--log-slates" -> slates = Double.parseDouble(matching(held, "[0-9]*\\.?[0-9]+"));
        case "--connections" -> connections = number(held, 1, 1_000_000);
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    if (bundles == null || campaigns == null || slates > 1 || (log != null && keyFile == null)) {
      throw new IllegalArgumentException("--bundles and --campaigns are required, and --log-key-file with --log");
    }
    Loop loop = new Loop(events == null ? "http://" + host + ":" + port : events, forwarded, log, keyFile, slates);
    return new Settings(host, port, bundles, campaigns, threads, margin, new Limits(drain, head, body, connections), loop);
  }

  private static String matching(String text, String pattern) {
    if (!text.matches(pattern)) {
      throw new IllegalArgumentException(text);
    }
    return text;
  }

  private static int number(String text, int least, int most) {
    int number = Integer.parseInt(text);
    if (number < least || number > most) {
      throw new IllegalArgumentException(text);
    }
    return number;
  }
}
