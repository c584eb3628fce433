package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class UpsertTest {
  @Test
  void whatIsWrittenCountsAtOnce() {
    try (Engine engine = Engine.open(Ids.BUNDLES);
        Scorer scorer = engine.newScorer(10)) {
      long user = Adclick.hash("u1001");
      Ids ids = new Ids(engine).fill(user, 1, 1);
      int users = engine.table("users");
      int clicks = engine.column(users, "clicks_7d");
      int pairs = engine.table("user_advertiser");
      int rate = engine.column(pairs, "click_rate");
      TableInfo before = engine.tableInfo(users);
      assertEquals(5, before.rows());
      assertEquals(1, before.shards());
      assertEquals(86_400, before.freshForSeconds());
      assertEquals(0, before.overlayRows());
      assertEquals(65_536, before.overlayCapacity());
      assertTrue(before.overlayBytes() > 0 && before.builtMicros() > 0);

      double logit = logit(scorer, ids);
      Upsert upsert = new Upsert(2, 8);
      engine.upsert(upsert.clear(users, Upsert.Mode.INCREMENT).row(user).number(clicks, 2));
      assertEquals(1, upsert.applied());
      assertEquals(0, upsert.stale() + upsert.evicted());
      // A click weighs 0.05.
      assertEquals(0.1, logit(scorer, ids) - logit, 1e-3);
      assertEquals(1, engine.tableInfo(users).overlayRows());

      logit = logit(scorer, ids);
      engine.upsert(
          upsert.clear(pairs, Upsert.Mode.COLUMNS).row(Adclick.key(user, Adclick.hash("acme"))).number(rate, 0.25f));
      // It was 0.05, and weighs 5.
      assertEquals(5 * 0.2, logit(scorer, ids) - logit, 1e-3);

      int interests = engine.column(users, "interests");
      int category = engine.column(engine.table("ads"), "category");
      engine.upsert(upsert.clear(users, Upsert.Mode.COLUMNS).row(user).vector(interests, new float[] {0, 0, 0, 0}));
      engine.upsert(
          upsert.clear(engine.table("ads"), Upsert.Mode.COLUMNS).row(Adclick.hash("a1")).id(category, Adclick.hash("travel")));
      assertEquals(1, upsert.applied());
      assertEquals(engine.table("ads"), upsert.table());

      // Older than the table itself.
      engine.upsert(upsert.clear(users, Upsert.Mode.COLUMNS).timeMicros(1_000_000).row(user).number(clicks, 1));
      assertEquals(1, upsert.stale());
    }
  }

  @Test
  void badRowsAreNamed() {
    try (Engine engine = Engine.open(Ids.BUNDLES)) {
      int users = engine.table("users");
      int clicks = engine.column(users, "clicks_7d");
      Upsert upsert = new Upsert(2, 2);
      assertThrows(IllegalStateException.class, () -> upsert.number(clicks, 1));
      upsert.clear(users, Upsert.Mode.WHOLE_ROW).row(1).number(clicks, 1).row(2).number(clicks, Float.NaN);
      AdclickException nan = assertThrows(AdclickException.class, () -> engine.upsert(upsert));
      assertEquals(Status.INVALID_VALUE, nan.status());
      assertEquals(0, engine.tableInfo(users).overlayRows());
      assertThrows(IndexOutOfBoundsException.class, () -> upsert.row(3));
      assertThrows(IndexOutOfBoundsException.class, () -> upsert.number(clicks, 1));
      assertThrows(
          AdclickException.class, () -> engine.upsert(upsert.clear(4711, Upsert.Mode.COLUMNS).row(1).number(clicks, 1)));
      assertThrows(AdclickException.class, () -> engine.column(4711, "clicks_7d"));
      assertThrows(AdclickException.class, () -> engine.feature(""));
      assertThrows(AdclickException.class, () -> engine.feature("x".repeat(2000)));
      assertThrows(AdclickException.class, () -> engine.tableInfo(engine.table("unheard of")));
      assertThrows(NullPointerException.class, () -> engine.feature(null));
    }
    try (Engine engine = Engine.open(Ids.BUNDLES, new EngineOptions().noOverlays())) {
      assertThrows(
          AdclickException.class,
          () -> engine.upsert(new Upsert(1, 1).clear(engine.table("users"), Upsert.Mode.COLUMNS).row(1)));
    }
  }

  private static double logit(Scorer scorer, Ids ids) {
    // The overlay's rows are of now; a request of the same time sees them.
    ids.request.timeMicros(Ids.TIME);
    scorer.score(ids.request, ids.candidates, ids.predictions);
    return Ids.logit(ids.predictions.pctr(0));
  }
}
