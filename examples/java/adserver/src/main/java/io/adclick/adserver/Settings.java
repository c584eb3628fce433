package io.adclick.adserver;

import java.nio.file.Path;

/** The command line (../../../../../../../../openrtb/MAPPING.md, section 1). */
record Settings(String host, int port, Path bundles, Path campaigns, int threads, long marginMillis) {
  static Settings parse(String[] args) {
    String host = "127.0.0.1";
    int port = 8080;
    Path bundles = null;
    Path campaigns = null;
    int threads = Runtime.getRuntime().availableProcessors();
    long margin = 20;
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
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    if (bundles == null || campaigns == null) {
      throw new IllegalArgumentException("--bundles and --campaigns are required");
    }
    return new Settings(host, port, bundles, campaigns, threads, margin);
  }

  private static int number(String text, int least, int most) {
    int number = Integer.parseInt(text);
    if (number < least || number > most) {
      throw new IllegalArgumentException(text);
    }
    return number;
  }
}
