package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** All of the surface under {@code -Xcheck:jni}, whose warnings go to standard output; and proof that they would. */
@Timeout(120)
class CheckedJniTest {
  private static final String WARNING = "in native method";

  /** Calls everything that is native, with success and failure. */
  static final class Exercise {
    public static void main(String[] args) throws Exception {
      System.out.println(Adclick.version() + Adclick.abiVersion() + Adclick.kernel() + Reason.CUT.label());
      System.out.println(Adclick.hash("a") + Adclick.key(1, 2) + Adclick.key(1, 2, 3));
      System.out.println(Adclick.hash(ByteBuffer.allocateDirect(100), 50, 50));
      try (Engine engine = Engine.open(Ids.BUNDLES, new EngineOptions().followMillis(5))) {
        Ids ids = new Ids(engine).fill(200, 3);
        engine.column(engine.table("users"), "clicks_7d");
        engine.tableInfo(engine.table("users"));
        engine.kernel();
        engine.followError();
        engine.precisionError();
        engine.adCache();
        engine.poll();
        engine.stage(Ids.B).close();
        engine.stage(Ids.B).activate();
        engine.rollback();
        engine.generation();
        System.out.println(engine.metrics().length);
        Upsert upsert = new Upsert(1, 1).clear(engine.table("users"), Upsert.Mode.INCREMENT).row(1);
        engine.upsert(upsert.number(engine.column(engine.table("users"), "clicks_7d"), 1));
        try (Scorer scorer = engine.newScorer(200)) {
          for (int i = 0; i < 1000; i++) {
            scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
            scorer.score(ids.request, ids.candidates, ids.predictions);
          }
          scorer.auction(new AuctionOptions(), ids.candidates, ids.predictions, ids.winners, ids.reasons);
          scorer.scoreDense(new DenseInput(1, 29).rows(1), ids.predictions);
          fails(() -> scorer.scoreDense(new DenseInput(1, 28).rows(1), ids.predictions));
          fails(() -> scorer.decide(ids.request, ids.candidates, new Winners(0)));
        }
        fails(() -> engine.feature(""));
        fails(() -> Engine.open(Ids.DIR.resolve("none")));
        fails(() -> System.out.println(engine.rollback()));
      }
      System.out.println("done");
    }

    private static void fails(Runnable call) {
      try {
        call.run();
      } catch (AdclickException e) {
        System.out.println(e);
        return;
      }
      throw new AssertionError("this should have failed");
    }
  }

  /** Makes a JNI mistake (src/test/c/planted.c). */
  static final class Planted {
    static native void call();

    public static void main(String[] args) {
      System.load(Ids.DIR.resolve("libplanted.so").toString());
      try {
        call();
      } catch (IllegalStateException e) {
        System.out.println("done");
      }
    }
  }

  @Test
  void theShimIsClean() throws Exception {
    Child child = Child.run(Child.classPath(true), Exercise.class, "-Xcheck:jni");
    assertEquals(0, child.status, child.output);
    assertTrue(child.output.endsWith("done\n"), child.output);
    assertFalse(child.output.contains(WARNING), child.output);
    assertFalse(child.output.contains("WARNING"), child.output);
  }

  @Test
  void aPlantedMistakeIsNoticed() throws Exception {
    Child child = Child.run(Child.classPath(true), Planted.class, "-Xcheck:jni");
    assertTrue(child.output.contains("done"), child.output);
    assertTrue(child.output.contains(WARNING), child.output);
  }
}
