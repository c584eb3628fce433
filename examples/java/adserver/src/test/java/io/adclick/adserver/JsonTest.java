package io.adclick.adserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import org.junit.jupiter.api.Test;

class JsonTest {
  @Test
  void numbersKeepTheirText() throws Exception {
    Json list = Json.parse("[1.50, -0, 1e400, 100000000000000000000000000]");
    assertEquals("1.50", list.items.get(0).text);
    assertEquals(Json.Integral.YES, Json.integral(list.items.get(1).text));
    assertEquals("1e400", list.items.get(2).text);
    assertEquals(Json.Integral.NO, Json.integral(list.items.get(2).text));
    assertEquals(Json.Integral.TOO_LARGE, Json.integral(list.items.get(3).text));
  }

  @Test
  void theLastOfTwoMembersCounts() throws Exception {
    Json object = Json.parse("{\"a\":1,\"a\":\"x\",\"b\":2,\"b\":null}");
    assertEquals("x", object.find("a").text);
    assertNull(object.find("b"));
    assertNull(object.find("A"));
  }

  @Test
  void depthIsCountedAndBounded() throws Exception {
    Json.parse("[".repeat(32) + "]".repeat(32));
    assertTrue(fails("[".repeat(33) + "]".repeat(33)).tooDeep);
    assertTrue(fails("{\"a\":".repeat(1_000_000)).tooDeep);
  }

  @Test
  void whatIsNoJsonIsNone() {
    for (String none :
        new String[] {"", " ", "{", "[1,]", "[01]", "{'a':1}", "[1] 2", "[NaN]", "[+1]", "[.5]", "[1.]", "nul", "[\"\t\"]", "/**/[]", "[1]\0"}) {
      assertFalse(fails(none).tooDeep, none);
    }
  }

  /** An overlong form, a surrogate by itself, a byte that begins nothing, a cut sequence, and text in UTF-16. */
  @Test
  void whatIsNoUtf8IsNone() {
    byte[][] none = {
      {'"', (byte) 0xC0, (byte) 0x80, '"'},
      {'"', (byte) 0xED, (byte) 0xA0, (byte) 0x80, '"'},
      {'"', (byte) 0xFF, '"'},
      {'"', (byte) 0xC3, '"'},
      {0, '[', 0, ']'}
    };
    for (byte[] bytes : none) {
      assertThrows(Json.Malformed.class, () -> Json.parse(ByteBuffer.wrap(bytes)));
    }
  }

  private static Json.Malformed fails(String text) {
    return assertThrows(Json.Malformed.class, () -> Json.parse(text), text);
  }
}
