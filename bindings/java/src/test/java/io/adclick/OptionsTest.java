package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What an engine is opened with besides its bundle. */
class OptionsTest {
  /** A precision that the machine or the model cannot do is told, and exact stands for it. */
  @Test
  void precisionsAreServedOrRefusedWithAReason() {
    for (Precision precision : Precision.values()) {
      if (precision == Precision.UNKNOWN) {
        assertThrows(IllegalArgumentException.class, () -> new EngineOptions().precision(precision));
        continue;
      }
      try (Engine engine = Engine.open(Ids.A, new EngineOptions().precision(precision));
          Scorer scorer = engine.newScorer(10)) {
        Ids ids = new Ids(engine).fill(10, 2);
        Precision served = scorer.decide(ids.request, ids.candidates, ids.winners).precision();
        Optional<AdclickException> error = engine.precisionError();
        if (error.isPresent()) {
          assertEquals(Status.UNSUPPORTED, error.get().status());
          assertFalse(error.get().getMessage().isEmpty());
          assertEquals(Precision.EXACT, served);
          assertFalse(precision == Precision.EXACT);
        } else {
          assertEquals(precision, served);
        }
      }
    }
    // The portable kernel has no products of bf16, whatever the CPU has.
    EngineOptions portable = new EngineOptions().precision(Precision.BF16).kernel("portable");
    try (Engine engine = Engine.open(Ids.A, portable)) {
      assertTrue(engine.precisionError().orElseThrow().getMessage().contains("portable"));
    }
  }

  /** With an ad cache the same candidates win at the same probabilities; without one it is told what it would take. */
  @Test
  void theAdCacheChangesNoDecision() {
    try (Engine plain = Engine.open(Ids.A, new EngineOptions().precision(Precision.EXACT));
        Engine kept = Engine.open(Ids.A, new EngineOptions().precision(Precision.EXACT).adCacheMib(64));
        Scorer of = plain.newScorer(10);
        Scorer with = kept.newScorer(10)) {
      AdCache off = plain.adCache();
      assertTrue(off.bytesNeeded() > 0);
      assertEquals(new AdCache(AdCacheState.OFF, 0, 0, off.bytesNeeded()), off);
      assertEquals(new AdCache(AdCacheState.ON, 4, off.bytesNeeded(), off.bytesNeeded()), kept.adCache());

      Ids a = new Ids(plain).fill(10, 5);
      Ids b = new Ids(kept).fill(10, 5);
      assertEquals(5, of.decide(a.request, a.candidates, a.winners).winners());
      assertEquals(5, with.decide(b.request, b.candidates, b.winners).winners());
      for (int slot = 0; slot < 5; slot++) {
        assertEquals(a.winners.get(slot).candidate(), b.winners.get(slot).candidate());
        assertEquals(a.winners.get(slot).pctr(), b.winners.get(slot).pctr(), 1e-6);
      }
      // The table has four of the five ads that go round.
      assertEquals(8, candidatesKept(kept));
      assertEquals(0, candidatesKept(plain));
    }
    assertThrows(IllegalArgumentException.class, () -> new EngineOptions().adCacheMib(-1));
  }

  /** Only exact sums are kept; where the CPU has no products of bf16, exact is served. */
  @Test
  void fastPrecisionsKeepNoSums() {
    EngineOptions fast = new EngineOptions().precision(Precision.BF16).adCacheMib(64);
    try (Engine engine = Engine.open(Ids.A, fast)) {
      AdCacheState expected = engine.precisionError().isPresent() ? AdCacheState.ON : AdCacheState.NOT_EXACT;
      assertEquals(expected, engine.adCache().state());
    }
  }

  private static long candidatesKept(Engine engine) {
    String name = "adclick_candidates_kept_total ";
    return new String(engine.metrics(), StandardCharsets.UTF_8)
        .lines()
        .filter(line -> line.startsWith(name))
        .mapToLong(line -> Long.parseLong(line.substring(name.length())))
        .findFirst()
        .orElseThrow();
  }
}
