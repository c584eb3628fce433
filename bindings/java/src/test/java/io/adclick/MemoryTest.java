package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/** What calls cost in memory: nothing. {@code make test-java JAVA_CALLS=10000000} takes longer and says the same. */
class MemoryTest {
  private static final long CALLS = Long.getLong("adclick.calls", 200_000);
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  /** The whole life of a request, with everything that a server sets. */
  private static long serve(Ids ids, Scorer scorer, long calls) {
    long sum = 0;
    for (long i = 0; i < calls; i++) {
      // Mostly small requests, so that the calls count and not the candidates.
      ids.fill(i % 100 == 0 ? 200 : (int) (i % 5), 3);
      Outcome outcome = scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
      for (int w = 0; w < outcome.winners(); w++) {
        Winner winner = ids.winners.get(w);
        sum += winner.priceMicros() + winner.candidate() + winner.priceBound().code();
      }
      sum += outcome.missing();
      if (i % 10 == 0) {
        scorer.score(ids.request, ids.candidates, ids.predictions);
        sum += ids.candidates.size() > 0 ? (long) (1e6 * ids.predictions.pctr(0)) : 0;
      }
    }
    return sum;
  }

  @Test
  void theRequestPathAllocatesNothingAndMemoryDoesNotGrow() throws Exception {
    try (Engine engine = Engine.open(Ids.BUNDLES);
        Scorer scorer = engine.newScorer(1000)) {
      Ids ids = new Ids(engine);
      // Until everything is compiled and touched.
      long expected = serve(ids, scorer, 50_000);
      System.gc();
      long resident = Ids.residentBytes();
      long allocated = THREADS.getCurrentThreadAllocatedBytes();
      long begun = System.nanoTime();
      for (long done = 0; done < CALLS; done += 50_000) {
        assertEquals(expected, serve(ids, scorer, 50_000));
      }
      long seconds = (System.nanoTime() - begun) / 1_000_000_000;
      long bytes = THREADS.getCurrentThreadAllocatedBytes() - allocated;
      System.gc();
      long growth = Ids.residentBytes() - resident;
      System.out.printf(
          "%d calls: %d bytes allocated in Java, resident memory %+d KB, %d s%n", CALLS, bytes, growth / 1024, seconds);
      // What asserting and measuring itself takes is a few hundred bytes for 50,000 calls.
      assertTrue(bytes < 4096 + CALLS / 50, bytes + " bytes allocated in " + CALLS + " calls");
      assertTrue(growth < 16 << 20, "resident memory grew by " + growth + " bytes");
    }
  }

  /** Engines, staged generations and scorers leave nothing behind: no map, no handle, no memory. */
  @Test
  void handlesLeaveNothingBehind() throws Exception {
    long live = Handle.LIVE.get();
    long resident = 0;
    int rounds = 300;
    for (int i = 0; i < rounds; i++) {
      if (i == rounds / 3) {
        System.gc();
        resident = Ids.residentBytes();
      }
      try (Engine engine = Engine.open(Ids.BUNDLES, new EngineOptions().overlayRows(1000));
          Scorer scorer = engine.newScorer(1000)) {
        engine.stage(Ids.B).close();
        assertEquals(engine.stage(Ids.B).activate(), engine.generation());
        assertThrows(AdclickException.class, () -> engine.feature(""));
        Ids ids = new Ids(engine).fill(5, 1);
        scorer.decide(ids.request, ids.candidates, ids.winners);
      }
    }
    System.gc();
    long growth = Ids.residentBytes() - resident;
    assertEquals(live, Handle.LIVE.get());
    assertEquals(0, Ids.mapped());
    // A scorer for 1000 candidates alone has more than 100 KB, so 200 lost ones would show.
    assertTrue(growth < 16 << 20, "resident memory grew by " + growth + " bytes");
  }
}
