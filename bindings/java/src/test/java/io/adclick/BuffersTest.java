package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

/** What goes into the buffers comes out, and nothing goes past their ends. */
class BuffersTest {
  @Test
  void requestsHoldWhatTheyGet() {
    Request request = new Request(3);
    request.requestId(-1).userKey(-2).timeMicros(-3).utcOffsetSeconds(-4).slots(5).placement(-6).deadlineMicros(7);
    request.number(1, 2).id(3, 4).weighted(5, 6, 7);
    assertEquals(-1, request.requestId());
    assertEquals(-2, request.userKey());
    assertEquals(-3, request.timeMicros());
    assertEquals(-4, request.utcOffsetSeconds());
    assertEquals(5, request.slots());
    assertEquals(-6, request.placement());
    assertEquals(7, request.deadlineMicros());
    assertEquals(3, request.valueCount());
    assertThrows(IndexOutOfBoundsException.class, () -> request.number(1, 2));
    assertEquals(3, request.valueCount());
    request.clear();
    assertEquals(0, request.requestId() | request.userKey() | request.timeMicros() | request.slots());
    assertEquals(0, request.valueCount());
    assertThrows(IndexOutOfBoundsException.class, () -> request.vector(1, new float[4]));
    assertEquals(0, request.valueCount());
    assertEquals(3, request.vector(1, new float[3]).valueCount());
  }

  @Test
  void candidatesHoldWhatTheyGet() {
    Candidates candidates = new Candidates(2, 2);
    candidates.add(1).advertiserKey(2).bid(BidKind.OCPM, 3).reserveMicros(4).modifier(5).quality(6).number(7, 8);
    candidates.add(9);
    Candidate first = candidates.get(0);
    assertEquals(0, first.index());
    assertEquals(1, first.adKey());
    assertEquals(2, first.advertiserKey());
    assertEquals(BidKind.OCPM, first.bidKind());
    assertEquals(3, first.bidMicros());
    assertEquals(4, first.reserveMicros());
    assertEquals(5, first.modifier());
    assertEquals(6, first.quality());
    assertThrows(IllegalStateException.class, () -> candidates.get(0).number(7, 8));
    assertThrows(IndexOutOfBoundsException.class, () -> candidates.add(3));
    assertThrows(IndexOutOfBoundsException.class, () -> candidates.get(2));
    assertThrows(IndexOutOfBoundsException.class, () -> candidates.get(-1));
    assertThrows(IndexOutOfBoundsException.class, () -> candidates.get(0).sameValuesAs(2));
    candidates.get(1).number(7, 8);
    assertThrows(IndexOutOfBoundsException.class, () -> candidates.get(1).number(7, 8));
    assertEquals(2, candidates.valueCount());
    // A candidate that is added again has nothing of the one before.
    Candidate again = candidates.clear().add(1);
    assertEquals(0, again.advertiserKey() | again.bidMicros() | again.reserveMicros());
    assertEquals(0, again.modifier());
  }

  @Test
  void inputsAndPredictionsEndWhereTheyEnd() {
    DenseInput input = new DenseInput(2, 3);
    assertThrows(IndexOutOfBoundsException.class, () -> input.set(0, 0, 1));
    assertThrows(IndexOutOfBoundsException.class, () -> input.rows(3));
    assertThrows(IndexOutOfBoundsException.class, () -> input.rows(2).set(1, 3, 1));
    assertThrows(IndexOutOfBoundsException.class, () -> input.set(1, new float[4], 2));
    Predictions predictions = new Predictions(1).add(0.5f, 0.25f);
    assertEquals(0.5f, predictions.pctr(0));
    assertEquals(0.25f, predictions.pcvr(0));
    assertThrows(IndexOutOfBoundsException.class, () -> predictions.add(1, 1));
    assertThrows(IndexOutOfBoundsException.class, () -> predictions.clear().pctr(0));
    assertThrows(IndexOutOfBoundsException.class, () -> new Reasons(3).get(0));
  }

  @Test
  void impossibleCapacitiesAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Request(-1));
    assertThrows(IllegalArgumentException.class, () -> new Candidates(1, -1));
    assertThrows(IllegalArgumentException.class, () -> new Candidates(Integer.MAX_VALUE, Integer.MAX_VALUE));
    assertThrows(IllegalArgumentException.class, () -> new Winners(Integer.MAX_VALUE));
    assertThrows(IllegalArgumentException.class, () -> new DenseInput(Integer.MAX_VALUE, 2));
    assertThrows(ArithmeticException.class, () -> new DenseInput(Integer.MAX_VALUE, Integer.MAX_VALUE));
    assertThrows(IllegalArgumentException.class, () -> new EngineOptions().followMillis(-1));
    assertThrows(IllegalArgumentException.class, () -> new EngineOptions().kernel("sixteen letters!"));
  }
}
