package io.adclick;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class MetricsTest {
  @Test
  void whatWasServedIsCounted() {
    try (Engine engine = Engine.open(Ids.BUNDLES);
        Scorer scorer = engine.newScorer(10)) {
      Ids ids = new Ids(engine).fill(5, 2);
      for (int i = 0; i < 7; i++) {
        scorer.decide(ids.request, ids.candidates, ids.winners);
      }
      assertThrows(AdclickException.class, () -> scorer.decide(ids.request, ids.candidates, new Winners(1)));
      // The first room is too little for it; the text comes whole all the same.
      for (byte[] bytes : new byte[][] {engine.metrics(), engine.metrics(0), engine.metrics(100)}) {
        String text = new String(bytes, StandardCharsets.UTF_8);
        assertTrue(text.contains("\nadclick_requests_total{call=\"decide\",status=\"ok\"} 7\n"), text);
        assertTrue(text.contains("\nadclick_requests_total{call=\"decide\",status=\"buffer_too_small\"} 1\n"), text);
        assertTrue(text.startsWith("# HELP ") && text.endsWith("\n"), text);
      }
    }
  }
}
