package io.adclick;

import java.nio.file.Files;
import java.nio.file.Path;

/** The bundle of examples/tables and requests to it. `make test-java` packs it. */
final class Ids {
  static final Path DIR = Path.of(System.getProperty("adclick.test.dir", "../../build/java")).toAbsolutePath();
  static final Path BUNDLES = DIR.resolve("bundles");
  static final Path A = BUNDLES.resolve("a");
  /** As A, but user u1002 has a click rate of 0.018 and not 0.008. */
  static final Path B = BUNDLES.resolve("b");

  /** A Thursday, 14:00 UTC. */
  static final long TIME = 1_764_252_000_000_000L;

  // Hashed once, as a server would: turning a string into bytes allocates.
  private static final long USER = Adclick.hash("u1001");
  private static final long MOBILE = Adclick.hash("mobile");
  private static final long STORY = Adclick.hash("story");
  private static final long[] ADS = {
    Adclick.hash("a1"), Adclick.hash("a2"), Adclick.hash("a3"), Adclick.hash("a4"), Adclick.hash("a9")
  };
  private static final long[] ADVERTISERS = {
    Adclick.hash("acme"), Adclick.hash("globex"), Adclick.hash("initech"), Adclick.hash("acme"), Adclick.hash("globex")
  };

  final Request request = new Request(8);
  final Candidates candidates = new Candidates(1000, 4000);
  final Winners winners = new Winners(1000);
  final Reasons reasons = new Reasons(1000);
  final Predictions predictions = new Predictions(1000);
  private final int device;
  private final int placement;
  private final int depth;

  Ids(Engine engine) {
    device = engine.feature("device_type");
    placement = engine.feature("placement");
    depth = engine.feature("session_depth");
  }

  /** A request of user u1001 with {@code n} candidates, whose ads go round; their CPC bids rise with their index. */
  Ids fill(int n, int slots) {
    return fill(USER, n, slots);
  }

  Ids fill(long user, int n, int slots) {
    request.clear().requestId(42).userKey(user).timeMicros(TIME).utcOffsetSeconds(3600).slots(slots);
    request.id(device, MOBILE).id(placement, STORY).number(depth, 4);
    candidates.clear();
    for (int i = 0; i < n; i++) {
      candidates
          .add(ADS[i % ADS.length])
          .advertiserKey(ADVERTISERS[i % ADS.length])
          .bid(BidKind.CPC, 400_000 + 1000L * i)
          .reserveMicros(50_000);
    }
    return this;
  }

  static double logit(double p) {
    return Math.log(p / (1 - p));
  }

  /** The lines of /proc/self/maps that name files of the bundles. */
  static long mapped() throws Exception {
    try (var lines = Files.lines(Path.of("/proc/self/maps"))) {
      return lines.filter(line -> line.endsWith(".adc")).count();
    }
  }

  static long residentBytes() throws Exception {
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
  }
}
