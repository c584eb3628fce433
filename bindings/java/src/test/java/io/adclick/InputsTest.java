package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the live model reads, and whether requests have it; and what else an engine tells of its generations and rows. */
class InputsTest {
  @Test
  void theModelAndItsInputsAreListed() {
    try (Engine engine = Engine.open(Ids.A)) {
      Model model = engine.model();
      assertEquals(29, model.width());
      assertEquals(engine.generation(), model.generation());
      List<ModelInput> inputs = engine.inputs();
      assertEquals(model.inputs(), inputs.size());
      ModelInput device = inputs.stream().filter(i -> i.name().equals("device_type")).findFirst().orElseThrow();
      assertEquals(engine.feature("device_type"), device.feature());
      assertEquals(ModelInput.Side.REQUEST, device.side());
      assertEquals(ModelInput.Kind.CATEGORY, device.kind());
      assertEquals(ModelInput.Reading.PASSED, device.reading());
      assertEquals(ModelInput.Source.CONTEXT, device.source());
      ModelInput depth = inputs.stream().filter(i -> i.name().equals("session_depth")).findFirst().orElseThrow();
      assertTrue(depth.defaultNumber().isPresent() && depth.defaultId().isEmpty());
      assertTrue(inputs.stream().anyMatch(i -> i.reading() == ModelInput.Reading.TABLE && i.from().contains(".")));
      assertTrue(inputs.stream().anyMatch(i -> i.reading() == ModelInput.Reading.TIME));
      assertTrue(inputs.stream().noneMatch(i -> i.kind() == ModelInput.Kind.UNKNOWN));
    }
  }

  @Test
  void aRequestIsCheckedByName() {
    try (Engine engine = Engine.open(Ids.A);
        Scorer scorer = engine.newScorer(10)) {
      Ids ids = new Ids(engine).fill(3, 1);
      assertEquals(0, engine.check(ids.request, ids.candidates).errors());
      assertTrue(engine.inputError().isEmpty());
      // Many names, so that the text outgrows the first room for it.
      for (int i = 0; i < 100; i++) {
        ids.candidates.add(7).number(engine.feature("nobody_reads_this_" + i), 1);
      }
      ids.candidates.add(8).id(engine.feature("device_type"), 7);
      Check check = engine.check(ids.request, ids.candidates);
      assertEquals(100, check.unknown());
      assertEquals(1, check.wrongSide());
      assertEquals(101, check.errors());
      assertEquals(check.problems(), check.text().lines().count());
      assertTrue(check.text().contains("error: `device_type` is passed with the candidate"), check.text());
      assertEquals(engine.generation(), check.generation());

      ids.fill(1, 1).candidates.add(8).id(engine.feature("device_type"), 7);
      Outcome outcome = scorer.decide(ids.request, ids.candidates, ids.winners);
      assertEquals(1, outcome.wrongSide());
      AdclickException error = engine.inputError().orElseThrow();
      assertEquals(Status.INVALID_VALUE, error.status());
      assertTrue(error.getMessage().contains("`device_type`"), error.getMessage());
      ids.request.utcOffsetSeconds(90_000);
      assertThrows(AdclickException.class, () -> engine.check(ids.request, ids.candidates));
    }
  }

  @Test
  void whatIsSwitchedOffTakesNoPart() {
    try (Engine engine = Engine.open(Ids.A, new EngineOptions().switchKeys(1));
        Scorer scorer = engine.newScorer(10)) {
      Ids ids = new Ids(engine).fill(3, 1);
      ids.candidates.add(99).campaignKey(77).bid(BidKind.CPC, 1_000_000);
      engine.switchOff(SwitchKind.CAMPAIGN, 77, 5);
      assertEquals(5, engine.switched(SwitchKind.CAMPAIGN, 77));
      assertEquals(0, engine.switched(SwitchKind.AD, 77));
      scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
      assertEquals(Reason.SWITCHED_OFF, ids.reasons.get(3));
      engine.switchOn(SwitchKind.CAMPAIGN, 77);
      assertEquals(0, engine.switched(SwitchKind.CAMPAIGN, 77));
      scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
      assertFalse(ids.reasons.get(3) == Reason.SWITCHED_OFF);
      engine.switchOff(SwitchKind.AD, 1, 1);
      AdclickException full = assertThrows(AdclickException.class, () -> engine.switchOff(SwitchKind.AD, 2, 1));
      assertEquals(Status.CAPACITY_EXCEEDED, full.status());
      assertThrows(IllegalArgumentException.class, () -> engine.switchOff(SwitchKind.AD, 2, 0));
    }
  }

  @Test
  void rowsAreTakenOffAgainAndTheFutureIsRefused() {
    try (Engine engine = Engine.open(Ids.A);
        Engine any = Engine.open(Ids.A, new EngineOptions().overlayMaxSkewSeconds(-1))) {
      int users = engine.table("users");
      Upsert upsert = new Upsert(3, 3);
      upsert.clear(users, Upsert.Mode.COLUMNS);
      for (long key = 5; key < 8; key++) {
        upsert.row(key).number(engine.column(users, "ctr_7d"), 0.5f);
      }
      engine.upsert(upsert);
      assertEquals(1, engine.removeRows(users, 6, 99));
      assertEquals(0, engine.removeRows(users));
      assertEquals(2, engine.clearRows(users));
      assertEquals(0, engine.tableInfo(users).overlayRows());

      long ahead = System.currentTimeMillis() * 1000 + 3_600_000_000L;
      upsert.clear(users, Upsert.Mode.COLUMNS).timeMicros(ahead).row(5).number(engine.column(users, "ctr_7d"), 0.5f);
      AdclickException error = assertThrows(AdclickException.class, () -> engine.upsert(upsert));
      assertTrue(error.getMessage().contains("ahead of this machine's clock"), error.getMessage());
      int others = any.table("users");
      upsert.clear(others, Upsert.Mode.COLUMNS).timeMicros(ahead).row(5).number(any.column(others, "ctr_7d"), 0.5f);
      any.upsert(upsert);
      assertThrows(IllegalArgumentException.class, () -> new EngineOptions().overlayMaxSkewSeconds(-2));
    }
  }

  @Test
  void generationsAreToldOf() {
    Engine engine = Engine.open(Ids.A);
    try (Staged staged = engine.stage(Ids.B)) {
      long id = staged.generation();
      assertEquals(id, staged.activate());
      assertThrows(IllegalStateException.class, staged::generation);
      FollowState state = engine.followState();
      assertEquals(id, state.generation());
      assertEquals(1, state.activations());
      assertEquals(0, state.lookedMicros());
      assertFalse(state.follows());
    }
    engine.closeWithin(1000);
    engine.closeWithin(0);
    assertTrue(engine.isClosed());
    assertThrows(IllegalStateException.class, engine::model);
    assertThrows(IllegalArgumentException.class, () -> engine.closeWithin(-1));
  }

  /**
   * A directory whose CURRENT names a good bundle, and beside it one that takes seconds to open: zeros that take no place on disk,
   * whose checksum is not the manifest's.
   */
  private static Path besideEndless(Path root) throws Exception {
    long size = 8L << 30;
    Files.createSymbolicLink(root.resolve("a"), Ids.A);
    Files.writeString(root.resolve("CURRENT"), "a\n");
    Path at = Files.createDirectory(root.resolve("endless"));
    try (RandomAccessFile model = new RandomAccessFile(at.resolve("model.adc").toFile(), "rw")) {
      model.setLength(size);
    }
    long generation = Adclick.hash(String.format("model model.adc %d %016x\n", size, 1));
    Files.writeString(
        at.resolve("manifest.toml"),
        String.format(
            "format = 1\ngeneration = \"%016x\"\n\n[[file]]\nrole = \"model\"\nname = \"model.adc\"\nbytes = %d\nxxh3 = \"%016x\"\n",
            generation, size, 1));
    return root;
  }

  private static void assertBusy(Engine engine, String what) {
    AdclickException busy = assertThrows(AdclickException.class, () -> engine.closeWithin(0));
    assertEquals(Status.BUSY, busy.status());
    assertTrue(busy.getMessage().contains(what), busy.getMessage());
    assertTrue(engine.isClosed());
    engine.close();
  }

  @Test
  void closingDoesNotWaitForABundle(@TempDir Path directory) throws Exception {
    Path root = besideEndless(directory);
    Engine engine = Engine.open(root, new EngineOptions().followMillis(1));
    while (engine.followState().looks() == 0) {
      Thread.sleep(1);
    }
    Files.writeString(root.resolve("CURRENT"), "endless\n");
    // A look that does not end within 150 ms is in the middle of the bundle.
    for (long looks = -1, now; (now = engine.followState().looks()) != looks; looks = now) {
      Thread.sleep(150);
    }
    assertBusy(engine, "the following thread");
  }

  @Test
  void closingDoesNotWaitForARequest() throws Exception {
    int many = 1 << 19;
    Candidates candidates = new Candidates(many, 0);
    for (int i = 0; i < many; i++) {
      candidates.add(i + 1);
    }
    // On a busy machine the request may begin late, or be over.
    for (long after = 1; after < 10_000; after += 1 + after / 2) {
      Engine engine = Engine.open(Ids.A);
      try (Scorer scorer = engine.newScorer(many)) {
        FutureTask<Integer> request =
            new FutureTask<>(
                () -> scorer.decide(new Request(1).timeMicros(Ids.TIME).slots(1), candidates, new Winners(1)).scored());
        new Thread(request).start();
        Thread.sleep(after);
        AdclickException busy = null;
        try {
          engine.closeWithin(0);
        } catch (AdclickException e) {
          busy = e;
        }
        assertTrue(engine.isClosed());
        try {
          int scored = request.get();
          if (busy != null) {
            assertEquals(many, scored);
            assertEquals(Status.BUSY, busy.status());
            assertTrue(busy.getMessage().contains("requests under way"), busy.getMessage());
            return;
          }
        } catch (ExecutionException e) {
          assertTrue(e.getCause() instanceof IllegalStateException, e.toString());
        }
      }
    }
    fail("no request was under way when its engine was closed");
  }
}
