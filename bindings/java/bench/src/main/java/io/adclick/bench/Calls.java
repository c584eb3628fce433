package io.adclick.bench;

import io.adclick.Adclick;
import io.adclick.BidKind;
import io.adclick.Candidates;
import io.adclick.Engine;
import io.adclick.Predictions;
import io.adclick.Reasons;
import io.adclick.Request;
import io.adclick.Scorer;
import io.adclick.Winners;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * One call each, on the requests of bindings/go/bench_test.go. One without candidates is all overhead: of Java, of JNI and of
 * the library.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class Calls {
  /** Ads a0, a1, … of which the tables know five. */
  private static final int ADS = 20;

  private static final String[] ADVERTISERS = {"acme", "globex", "initech"};

  /** A directory of bundles of examples/tables. */
  @Param("bundles")
  public String bundle;

  /** Candidates of a request. */
  @Param({"0", "200"})
  public int candidateCount;

  private Engine engine;
  private Scorer scorer;
  private Request request;
  private Candidates candidates;
  private Winners winners;
  private Reasons reasons;
  private Predictions predictions;
  private int device;
  private int depth;
  private long mobile;
  private long user;
  private final long[] ads = new long[ADS];
  private final long[] advertisers = new long[ADVERTISERS.length];
  private final String string = "a user's id of 24 bytes!";
  private final byte[] text = string.getBytes(java.nio.charset.StandardCharsets.UTF_8);

  /** Opens the engine and fills the request. */
  @Setup
  public void open() {
    engine = Engine.open(Path.of(bundle));
    scorer = engine.newScorer(1000);
    device = engine.feature("device_type");
    depth = engine.feature("session_depth");
    mobile = Adclick.hash("mobile");
    user = Adclick.hash("u1001");
    for (int i = 0; i < ADS; i++) {
      ads[i] = Adclick.hash("a" + i);
    }
    for (int i = 0; i < ADVERTISERS.length; i++) {
      advertisers[i] = Adclick.hash(ADVERTISERS[i]);
    }
    request = new Request(8);
    candidates = new Candidates(1000, 0);
    winners = new Winners(8);
    reasons = new Reasons(1000);
    predictions = new Predictions(1000);
    fill();
  }

  /** Closes what was opened. */
  @TearDown
  public void close() {
    scorer.close();
    engine.close();
  }

  private void fill() {
    request.clear();
    candidates.clear();
    if (candidateCount == 0) {
      return;
    }
    request.requestId(42).userKey(user).timeMicros(1_790_000_000_000_000L).utcOffsetSeconds(3600).slots(2);
    request.id(device, mobile).number(depth, 4);
    for (int i = 0; i < candidateCount; i++) {
      candidates
          .add(ads[i % ADS] + i / ADS)
          .advertiserKey(advertisers[i % ADVERTISERS.length])
          .bid(BidKind.CPC, 400_000 + 1000L * i % 50_000)
          .reserveMicros(50_000);
    }
  }

  /**
   * The whole path on a request that is there.
   *
   * @return winners
   */
  @Benchmark
  public int decide() {
    return scorer.decide(request, candidates, winners).winners();
  }

  /**
   * Filling the request, and the whole path with a reason for each candidate, and reading a winner.
   *
   * @return a price
   */
  @Benchmark
  public long fillAndDecide() {
    fill();
    scorer.decide(request, candidates, winners, reasons);
    return winners.size() == 0 ? 0 : winners.get(0).priceMicros();
  }

  /**
   * Probabilities only.
   *
   * @return those of the first candidate
   */
  @Benchmark
  public float score() {
    scorer.score(request, candidates, predictions);
    return predictions.size() == 0 ? 0 : predictions.pctr(0);
  }

  /**
   * The cheapest native call, for comparison.
   *
   * @return a version
   */
  @Benchmark
  public int jni() {
    return Adclick.abiVersion();
  }

  /**
   * Hashing 24 bytes.
   *
   * @return their id
   */
  @Benchmark
  public long hash() {
    return Adclick.hash(text, 0, text.length);
  }

  /**
   * Hashing a string of 24 characters.
   *
   * @return its id
   */
  @Benchmark
  public long hashString() {
    return Adclick.hash(string);
  }
}
