package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ServingTest {
  private static final int WIDTH = 29;

  private Engine engine;
  private Scorer scorer;
  private Ids ids;

  @BeforeEach
  void open() {
    engine = Engine.open(Ids.BUNDLES);
    scorer = engine.newScorer(1000);
    ids = new Ids(engine);
  }

  @AfterEach
  void close() {
    scorer.close();
    engine.close();
  }

  @Test
  void versions() {
    assertEquals("0.1.0", Adclick.version());
    assertTrue(Adclick.abiVersion() >= 1);
    assertFalse(Adclick.kernel().isEmpty());
    assertFalse(engine.kernel().isEmpty());
  }

  /** XXH3-64 of known strings, seed 0: the test vectors of its own implementation. */
  @Test
  void hashes() {
    assertEquals(0x2d06800538d394c2L, Adclick.hash(""));
    byte[] padded = {'x', 'u', '1', '0', '0', '1', 'x'};
    assertEquals(Adclick.hash("u1001"), Adclick.hash(padded, 1, 5));
    assertEquals(Adclick.hash("größe"), Adclick.hash("größe".getBytes(java.nio.charset.StandardCharsets.UTF_8), 0, 7));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(padded, 3, 5));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(padded, -1, 2));
    assertThrows(NullPointerException.class, () -> Adclick.key((long[]) null));
    assertEquals(17, Adclick.key(new long[] {17}));
    assertEquals(Adclick.key(17, 23), Adclick.key(new long[] {17, 23}));
    assertEquals(0, Adclick.key(17, 0));
  }

  /** The example's model is a logistic regression with one cross, chosen by hand (offline/cli/tests/data/ids.rs). */
  @Test
  void readyInputsScoreAsTheModelSays() {
    DenseInput input = new DenseInput(3, WIDTH).rows(3);
    input.set(1, 0, 0.02f).set(1, 10, 0.03f).set(1, 27, 0.75f);
    float[] row = new float[WIDTH + 1];
    row[1 + 13] = 0.5f;
    row[1 + 28] = 2f;
    input.set(2, row, 1);
    Outcome outcome = scorer.scoreDense(input, ids.predictions);
    assertEquals(3, outcome.scored());
    double[] logits = {-5, -5 + 12 * 0.02 + 25 * 0.03 * (1 + 0.5 * 0.75) + 0.75, -5 + 0.5 * 0.5 + 2};
    for (int i = 0; i < 3; i++) {
      assertEquals(logits[i], Ids.logit(ids.predictions.pctr(i)), 1e-4);
      assertTrue(Float.isNaN(ids.predictions.pcvr(i)));
    }
  }

  @Test
  void decidesBySecondPrice() {
    ids.fill(5, 3);
    scorer.score(ids.request, ids.candidates, ids.predictions);
    Outcome outcome = scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
    assertEquals(3, outcome.winners());
    assertEquals(3, ids.winners.size());
    assertEquals(5, outcome.scored());
    assertEquals(0, outcome.cut());
    assertEquals(Precision.EXACT, outcome.precision());
    assertEquals(engine.generation(), outcome.generation());
    Integer[] order = {0, 1, 2, 3, 4};
    java.util.Arrays.sort(order, java.util.Comparator.comparingDouble(i -> -value(i)));
    for (int slot = 0; slot < 3; slot++) {
      Winner winner = ids.winners.get(slot);
      int candidate = order[slot];
      assertEquals(candidate, winner.candidate());
      assertEquals(slot, winner.slot());
      assertEquals(ids.predictions.pctr(candidate), winner.pctr());
      assertEquals(1, winner.propensity());
      assertEquals(order[slot + 1], winner.runnerUp());
      assertEquals(1000 * value(candidate), winner.ecpmMicros(), 2);
      double next = value(order[slot + 1]) / ids.predictions.pctr(candidate);
      assertEquals(Math.max(50_000, next), winner.priceMicros(), 1);
      assertEquals(PriceBound.NEXT_SCORE, winner.priceBound());
      assertEquals(Reason.WON, ids.reasons.get(candidate));
      assertTrue(winner.impressionId() != 0);
    }
    assertEquals(Reason.OUTRANKED, ids.reasons.get(order[3]));
    assertEquals(5, ids.reasons.size());
    for (int i = 0; i < 5; i++) {
      Explanation told = scorer.explain(i);
      assertEquals(i, told.candidate());
      assertEquals(ids.reasons.get(i), told.reason());
      assertEquals(ids.predictions.pctr(i), told.pctr());
      assertEquals(ids.request.requestId(), told.requestId());
    }
    Winner first = ids.winners.get(0);
    Explanation told = scorer.explain(first.candidate());
    assertEquals(first.score(), told.score());
    assertEquals(first.reserveMicros(), told.reserveMicros());
    assertEquals(first.reserveSource(), told.reserveSource());
    assertThrows(AdclickException.class, () -> scorer.explain(5));
    assertThrows(AdclickException.class, () -> scorer.explain(-1));
    scorer.score(ids.request, ids.candidates, ids.predictions);
    AdclickException none = assertThrows(AdclickException.class, () -> scorer.explain(0));
    assertTrue(none.getMessage().contains("not a decision"), none.getMessage());
  }

  @Test
  void aCarryLosesNothing() {
    Carry carry = new Carry();
    long billed = 0;
    for (int i = 0; i < 1000; i++) {
      billed += carry.bill(1_999_999);
    }
    assertEquals(1_999_999, billed);
    assertEquals(0, carry.thousandths());
    carry.bill(1_250);
    assertEquals(2, new Carry(carry.thousandths()).bill(1_750));
    assertEquals(0, carry.bill(-5));
    assertThrows(IllegalArgumentException.class, () -> new Carry(-1));
  }

  private double value(int candidate) {
    return ids.candidates.get(candidate).bidMicros() * (double) ids.predictions.pctr(candidate);
  }

  @Test
  void everyLoserHasItsReason() {
    ids.fill(5, 1);
    ids.candidates.get(0).bid(BidKind.CPC, 10_000);
    ids.candidates.get(1).bid(BidKind.CPC, -1);
    ids.candidates.get(2).bid(BidKind.CPA, 500_000);
    ids.candidates.get(3).modifier(Float.NaN);
    scorer.decide(ids.request, ids.candidates, ids.winners, ids.reasons);
    Reason[] expected = {
      Reason.BELOW_RESERVE, Reason.INVALID_BID, Reason.MISSING_PCVR, Reason.INVALID_MODIFIER, Reason.WON
    };
    for (int i = 0; i < 5; i++) {
      assertEquals(expected[i], ids.reasons.get(i));
    }
    assertEquals(-1, ids.winners.get(0).runnerUp());
    assertEquals(PriceBound.RESERVE, ids.winners.get(0).priceBound());
    assertEquals(50_000, ids.winners.get(0).priceMicros());
  }

  @Test
  void anEmptyRequestHasNoWinner() {
    Outcome outcome = scorer.decide(ids.request.clear(), ids.candidates.clear(), ids.winners);
    assertEquals(0, outcome.winners());
    assertEquals(0, ids.winners.size());
    assertThrows(IndexOutOfBoundsException.class, () -> ids.winners.get(0));
  }

  @Test
  void candidatesBringValues() {
    int ctr = engine.feature("ad_ctr_7d");
    int unknown = engine.feature("nobody reads this");
    assertEquals(ctr, engine.feature("ad_ctr_7d"));
    ids.fill(0, 1);
    ids.candidates.add(1).number(ctr, 0);
    ids.candidates.add(2).number(ctr, 0.25f).number(unknown, 1);
    ids.candidates.add(3).sameValuesAs(1);
    Outcome outcome = scorer.score(ids.request, ids.candidates, ids.predictions);
    double rise = Ids.logit(ids.predictions.pctr(1)) - Ids.logit(ids.predictions.pctr(0));
    assertEquals(25 * 0.25, rise, 1e-3);
    assertEquals(ids.predictions.pctr(1), ids.predictions.pctr(2));
    int missing = outcome.missing();
    ids.candidates.get(2).sameValuesAs(0);
    assertEquals(missing - 1, scorer.score(ids.request, ids.candidates, ids.predictions).missing());
  }

  @Test
  void failuresNameThemselvesAndLeaveOutputsAlone() {
    scorer.decide(ids.fill(5, 3).request, ids.candidates, ids.winners);
    long price = ids.winners.get(0).priceMicros();
    int depth = engine.feature("session_depth");
    ids.request.number(depth, Float.NaN);
    AdclickException invalid =
        assertThrows(AdclickException.class, () -> scorer.decide(ids.request, ids.candidates, ids.winners));
    assertEquals(Status.INVALID_VALUE, invalid.status());
    assertEquals(-4, invalid.code());
    assertTrue(invalid.getMessage().contains("NaN"), invalid.getMessage());
    assertTrue(invalid.toString().contains("ADCLICK_INVALID_VALUE"), invalid.toString());
    assertEquals(3, ids.winners.size());
    assertEquals(price, ids.winners.get(0).priceMicros());
    assertEquals(3, scorer.decide(ids.fill(5, 3).request, ids.candidates, ids.winners).winners());
  }

  @Test
  void capacitiesAreChecked() {
    ids.fill(5, 3);
    AdclickException small =
        assertThrows(AdclickException.class, () -> scorer.decide(ids.request, ids.candidates, new Winners(2)));
    assertEquals(Status.BUFFER_TOO_SMALL, small.status());
    assertThrows(
        IllegalArgumentException.class,
        () -> scorer.decide(ids.request, ids.candidates, ids.winners, new Reasons(4)));
    assertThrows(
        IllegalArgumentException.class, () -> scorer.score(ids.request, ids.candidates, new Predictions(4)));
    assertThrows(
        IllegalArgumentException.class, () -> scorer.scoreDense(new DenseInput(5, WIDTH).rows(5), new Predictions(4)));
    assertThrows(
        IllegalArgumentException.class,
        () -> scorer.auction(new AuctionOptions(), ids.candidates, ids.predictions, ids.winners, null));
    try (Scorer four = engine.newScorer(4)) {
      AdclickException many =
          assertThrows(AdclickException.class, () -> four.decide(ids.request, ids.candidates, ids.winners));
      assertEquals(Status.CAPACITY_EXCEEDED, many.status());
    }
    AdclickException narrow =
        assertThrows(
            AdclickException.class, () -> scorer.scoreDense(new DenseInput(1, 7).rows(1), ids.predictions));
    assertEquals(Status.INVALID_ARGUMENT, narrow.status());
    assertThrows(NullPointerException.class, () -> scorer.decide(null, ids.candidates, ids.winners));
    assertEquals(3, scorer.decide(ids.request, ids.candidates, ids.winners).winners());
  }

  @Test
  void aDeadlineCutsAndSaysHowMany() {
    // The first few are always scored; a microsecond is not enough for a thousand.
    Outcome outcome = scorer.decide(ids.fill(1000, 3).request.deadlineMicros(1), ids.candidates, ids.winners, ids.reasons);
    assertEquals(1000, outcome.scored() + outcome.cut());
    assertTrue(outcome.scored() > 0);
    int cut = 0;
    for (int i = 0; i < 1000; i++) {
      cut += ids.reasons.get(i) == Reason.CUT ? 1 : 0;
    }
    assertEquals(outcome.cut(), cut);
  }

  @Test
  void auctionsOfProbabilitiesThatTheCallerHas() {
    Candidates candidates = new Candidates(4, 0);
    candidates.add(1).bid(BidKind.CPC, 1_000_000);
    candidates.add(2).bid(BidKind.CPM, 8_000_000);
    candidates.add(3).bid(BidKind.CPA, 50_000_000);
    candidates.add(4).bid(BidKind.CPA, 50_000_000);
    Predictions given = new Predictions(4).add(0.01f, Float.NaN).add(0.5f, 0).add(0.01f, 0.01f).add(0.01f, Float.NaN);
    AuctionOptions rules = new AuctionOptions().slots(2).reserveMicros(BidKind.CPM, 1_500_000);
    int n = scorer.auction(rules, candidates, given, ids.winners, ids.reasons);
    // In micros per 1000 impressions: 10 units for the click, 8 for the impressions, 5 for the action.
    assertEquals(2, n);
    assertEquals(0, ids.winners.get(0).candidate());
    assertEquals(800_000, ids.winners.get(0).priceMicros(), 1);
    assertEquals(1, ids.winners.get(1).candidate());
    assertEquals(5_000_000, ids.winners.get(1).priceMicros(), 1);
    assertEquals(Reason.OUTRANKED, ids.reasons.get(2));
    assertEquals(Reason.MISSING_PCVR, ids.reasons.get(3));
    Winners alone = new Winners(2);
    assertEquals(2, Adclick.auction(rules, candidates, given, alone, new Reasons(4)));
    for (int slot = 0; slot < 2; slot++) {
      assertEquals(ids.winners.get(slot).candidate(), alone.get(slot).candidate());
      assertEquals(ids.winners.get(slot).priceMicros(), alone.get(slot).priceMicros());
    }
    AdclickException small =
        assertThrows(AdclickException.class, () -> Adclick.auction(rules, candidates, given, new Winners(1), null));
    assertEquals(Status.BUFFER_TOO_SMALL, small.status());
    assertThrows(
        AdclickException.class,
        () -> scorer.auction(new AuctionOptions().squash(2), candidates, given, ids.winners, null));
  }
}
