package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(120)
class LifecycleTest {
  @Test
  void useAfterCloseThrows() {
    Engine engine = Engine.open(Ids.BUNDLES);
    Scorer scorer = engine.newScorer(10);
    Staged staged = engine.stage(Ids.B);
    Ids ids = new Ids(engine).fill(5, 1);
    assertFalse(engine.isClosed());
    engine.close();
    engine.close();
    assertTrue(engine.isClosed());
    assertThrows(IllegalStateException.class, () -> engine.feature("device_type"));
    assertThrows(IllegalStateException.class, engine::generation);
    assertThrows(IllegalStateException.class, engine::kernel);
    assertThrows(IllegalStateException.class, engine::metrics);
    assertThrows(IllegalStateException.class, engine::poll);
    assertThrows(IllegalStateException.class, engine::followError);
    assertThrows(IllegalStateException.class, engine::precisionError);
    assertThrows(IllegalStateException.class, engine::adCache);
    assertThrows(IllegalStateException.class, () -> engine.newScorer(10));
    assertThrows(IllegalStateException.class, () -> engine.stage(Ids.B));
    assertThrows(IllegalStateException.class, () -> engine.upsert(new Upsert(1, 1)));
    // The scorer can be told, and serves auctions still.
    assertThrows(IllegalStateException.class, () -> scorer.decide(ids.request, ids.candidates, ids.winners));
    ids.candidates.clear().add(1).bid(BidKind.CPM, 1_000_000);
    assertEquals(
        1, scorer.auction(new AuctionOptions(), ids.candidates, new Predictions(1).add(0.5f, 0), ids.winners, null));
    scorer.close();
    scorer.close();
    assertThrows(IllegalStateException.class, () -> scorer.decide(ids.request, ids.candidates, ids.winners));
    assertThrows(IllegalStateException.class, staged::activate);
    staged.close();
  }

  @Test
  void missingAndDamagedBundlesAreNamed() {
    AdclickException missing =
        assertThrows(AdclickException.class, () -> Engine.open(Path.of("/does/not/exist/größe")));
    assertEquals(Status.IO, missing.status());
    assertTrue(missing.getMessage().contains("/does/not/exist"), missing.getMessage());
    AdclickException kernel =
        assertThrows(AdclickException.class, () -> Engine.open(Ids.A, new EngineOptions().kernel("abacus")));
    assertEquals(Status.UNSUPPORTED, kernel.status());
    assertThrows(AdclickException.class, () -> Engine.open(Ids.A, new EngineOptions().headroom(0.5f)));
  }

  /** Calls of two threads on one scorer: each is served or refused, none is harmed. */
  @Test
  void aScorerInUseRefusesOthers() throws Exception {
    try (Engine engine = Engine.open(Ids.BUNDLES);
        Scorer scorer = engine.newScorer(1000)) {
      AtomicInteger served = new AtomicInteger();
      AtomicInteger refused = new AtomicInteger();
      AtomicReference<Throwable> wrong = new AtomicReference<>();
      CountDownLatch begin = new CountDownLatch(1);
      List<Thread> threads = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        Thread thread = new Thread(() -> {
          try {
            Ids ids = new Ids(engine).fill(1000, 5);
            begin.await();
            // Until both have been seen, so that the machine's scheduling does not matter.
            for (int i = 0; i < 1_000_000 && (i < 100 || refused.get() == 0); i++) {
              try {
                scorer.decide(ids.request, ids.candidates, ids.winners);
                served.incrementAndGet();
              } catch (IllegalStateException e) {
                assertTrue(e.getMessage().contains("in use"), e.getMessage());
                refused.incrementAndGet();
              }
            }
          } catch (Throwable e) {
            wrong.set(e);
          }
        });
        threads.add(thread);
        thread.start();
      }
      begin.countDown();
      for (Thread thread : threads) {
        thread.join();
      }
      assertNull(wrong.get());
      assertTrue(served.get() > 0 && refused.get() > 0, served + " served, " + refused + " refused");
    }
  }

  /** Engine and scorers are closed while others serve: calls end well, later ones throw, and all is freed. */
  @Test
  void closingWhileOthersServeIsSafe() throws Exception {
    long live = Handle.LIVE.get();
    for (int round = 0; round < 20; round++) {
      boolean engineFirst = round % 2 == 0;
      Engine engine = Engine.open(Ids.BUNDLES);
      List<Scorer> scorers = new ArrayList<>();
      List<Thread> threads = new ArrayList<>();
      AtomicReference<Throwable> wrong = new AtomicReference<>();
      CountDownLatch serving = new CountDownLatch(3);
      for (int t = 0; t < 3; t++) {
        Scorer scorer = engine.newScorer(1000);
        scorers.add(scorer);
        Ids ids = new Ids(engine).fill(1000, 5);
        Thread thread = new Thread(() -> {
          try {
            scorer.decide(ids.request, ids.candidates, ids.winners);
            serving.countDown();
            while (true) {
              assertEquals(5, scorer.decide(ids.request, ids.candidates, ids.winners).winners());
            }
          } catch (IllegalStateException closed) {
            if (!closed.getMessage().contains("closed")) {
              wrong.set(closed);
            }
          } catch (Throwable e) {
            wrong.set(e);
          }
        });
        threads.add(thread);
        thread.start();
      }
      serving.await();
      if (engineFirst) {
        engine.close();
      }
      scorers.forEach(Scorer::close);
      engine.close();
      for (Thread thread : threads) {
        thread.join();
      }
      assertNull(wrong.get());
    }
    assertEquals(live, Handle.LIVE.get());
    assertEquals(0, Ids.mapped());
  }

  /** What is forgotten is freed when the collector finds it. */
  @Test
  void theCleanerFreesWhatWasForgotten() throws Exception {
    long live = Handle.LIVE.get();
    forget();
    for (int i = 0; i < 200 && Handle.LIVE.get() > live; i++) {
      System.gc();
      Thread.sleep(20);
    }
    assertEquals(live, Handle.LIVE.get());
    assertEquals(0, Ids.mapped());
  }

  private static void forget() {
    for (int i = 0; i < 20; i++) {
      Engine engine = Engine.open(Ids.BUNDLES);
      engine.newScorer(10);
      engine.stage(Ids.B);
    }
    assertTrue(Handle.LIVE.get() > 0);
  }

  /** A scorer keeps its engine, also when nobody else does. */
  @Test
  void aScorerKeepsItsEngine() throws Exception {
    try (Scorer scorer = Engine.open(Ids.BUNDLES).newScorer(10)) {
      for (int i = 0; i < 5; i++) {
        System.gc();
        Thread.sleep(20);
      }
      Ids ids = new Ids(scorer.engine()).fill(5, 1);
      assertEquals(1, scorer.decide(ids.request, ids.candidates, ids.winners).winners());
      scorer.engine().close();
    }
  }
}
