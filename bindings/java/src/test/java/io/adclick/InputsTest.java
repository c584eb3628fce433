package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

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
}
