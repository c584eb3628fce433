package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class SwapTest {
  private static double logit(Engine engine, Scorer scorer) {
    Ids ids = new Ids(engine).fill(Adclick.hash("u1002"), 1, 1);
    scorer.score(ids.request, ids.candidates, ids.predictions);
    return Ids.logit(ids.predictions.pctr(0));
  }

  @Test
  void stageActivateRollback() {
    try (Engine engine = Engine.open(Ids.A);
        Scorer scorer = engine.newScorer(10)) {
      long a = engine.generation();
      double before = logit(engine, scorer);
      assertEquals(Status.NO_PREVIOUS, assertThrows(AdclickException.class, engine::rollback).status());
      engine.stage(Ids.B).close();
      assertEquals(a, engine.generation());
      long b;
      try (Staged staged = engine.stage(Ids.B)) {
        b = staged.activate();
        assertThrows(IllegalStateException.class, staged::activate);
      }
      assertNotEquals(a, b);
      assertEquals(b, engine.generation());
      // The user's click rate, 0.018 and not 0.008, weighs 12.
      assertEquals(12 * 0.01, logit(engine, scorer) - before, 1e-3);
      assertEquals(a, engine.rollback());
      assertEquals(before, logit(engine, scorer));
      assertThrows(AdclickException.class, engine::poll);
      assertEquals(Status.IO, assertThrows(AdclickException.class, () -> engine.stage(Path.of("nowhere"))).status());
    }
  }

  private static void publish(Path directory, String name) throws IOException {
    Path beside = directory.resolve("CURRENT.new");
    Files.writeString(beside, name + "\n");
    Files.move(beside, directory.resolve("CURRENT"), StandardCopyOption.ATOMIC_MOVE);
  }

  private static void copy(Path bundle, Path to) throws IOException {
    Files.createDirectory(to);
    try (var files = Files.list(bundle)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Files.copy(file, to.resolve(file.getFileName()));
      }
    }
  }

  @Test
  void pollsAndFollows(@TempDir Path directory) throws Exception {
    copy(Ids.A, directory.resolve("a"));
    copy(Ids.B, directory.resolve("b"));
    publish(directory, "a");
    try (Engine polling = Engine.open(directory);
        Engine following = Engine.open(directory, new EngineOptions().followMillis(10).copy().overlayRows(100))) {
      long a = polling.generation();
      assertEquals(0, polling.poll());
      publish(directory, "b");
      long b = polling.poll();
      assertNotEquals(0, b);
      assertEquals(b, polling.generation());
      for (int i = 0; i < 1000 && following.generation() == a; i++) {
        Thread.sleep(10);
      }
      assertEquals(b, following.generation());
      assertTrue(following.followError().isEmpty());
      publish(directory, "missing");
      AdclickException failed = assertThrows(AdclickException.class, polling::poll);
      assertEquals(failed.status(), polling.followError().orElseThrow().status());
      assertTrue(polling.followError().orElseThrow().getMessage().contains("missing"));
      assertEquals(b, polling.generation());
    }
  }
}
