package io.adclick.adserver;

import java.nio.file.Path;

/** The command line (../../../../../../../../openrtb/MAPPING.md, section 1). */
record Settings(String host, int port, Path bundles, Path campaigns, int threads, long marginMillis, Limits limits) {
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
        case "--connections" -> connections = number(held, 1, 1_000_000);
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    if (bundles == null || campaigns == null) {
      throw new IllegalArgumentException("--bundles and --campaigns are required");
    }
    return new Settings(host, port, bundles, campaigns, threads, margin, new Limits(drain, head, body, connections));
  }

  private static int number(String text, int least, int most) {
    int number = Integer.parseInt(text);
    if (number < least || number > most) {
      throw new IllegalArgumentException(text);
    }
    return number;
  }
}
