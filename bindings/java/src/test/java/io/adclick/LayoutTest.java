package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.lang.reflect.Field;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** The Java constants against the header that the shim was compiled with, by name, in both directions. */
class LayoutTest {
  private static Map<String, Long> header() {
    Map<String, Long> entries = new TreeMap<>();
    for (int i = 0; Native.layoutName(i) != null; i++) {
      entries.put(Native.layoutName(i), Native.layoutValue(i));
    }
    assertNotEquals(0, entries.size());
    return entries;
  }

  @Test
  void sizesAndOffsets() throws Exception {
    Map<String, Long> expected = new TreeMap<>();
    header().forEach((name, value) -> {
      if (name.startsWith("adclick_")) {
        expected.put(name.substring("adclick_".length()).replace('.', '_').toUpperCase(Locale.ROOT), value);
      }
    });
    Map<String, Long> found = new TreeMap<>();
    for (Field field : Layout.class.getDeclaredFields()) {
      found.put(field.getName(), (long) field.getInt(null));
    }
    assertEquals(expected, found);
  }

  @Test
  void numbers() throws Exception {
    Map<String, Long> found = new TreeMap<>();
    put(found, "REASON_", Reason.values(), r -> r.code());
    put(found, "BID_KIND_", BidKind.values(), k -> k.code());
    put(found, "PRICE_BOUND_", PriceBound.values(), b -> b.code());
    put(found, "PRECISION_", Precision.values(), p -> p.code());
    put(found, "AD_CACHE_STATE_", AdCacheState.values(), s -> s.code());
    put(found, "AGENT_", Agent.values(), a -> a.code());
    put(found, "CONVERSION_", ConversionKind.values(), k -> k.code());
    put(found, "EXPLORATION_", Exploration.values(), e -> e.code());
    put(found, "FEEDBACK_", Feedback.values(), f -> f.code());
    put(found, "RESERVE_SOURCE_", ReserveSource.values(), r -> r.code());
    put(found, "SWITCH_KIND_", SwitchKind.values(), k -> k.code());
    put(found, "SIDE_", ModelInput.Side.values(), s -> s.ordinal());
    put(found, "VALUE_KIND_", ModelInput.Kind.values(), k -> k.ordinal());
    put(found, "READING_", ModelInput.Reading.values(), r -> r.ordinal());
    put(found, "SOURCE_", ModelInput.Source.values(), s -> s.ordinal());
    put(found, "", Status.values(), s -> s.code());
    for (Field field : Constants.class.getDeclaredFields()) {
      found.put("ADCLICK_" + field.getName(), (long) field.getInt(null));
    }
    found.put("ADCLICK_ABI_VERSION", (long) Native.headerAbiVersion());
    Map<String, Long> expected = header();
    expected.keySet().removeIf(name -> name.startsWith("adclick_"));
    assertEquals(expected, found);
  }

  private static <E extends Enum<E>> void put(
      Map<String, Long> found, String prefix, E[] all, java.util.function.ToLongFunction<E> code) {
    for (E each : all) {
      if (!each.name().equals("UNKNOWN")) {
        found.put("ADCLICK_" + prefix + each.name(), code.applyAsLong(each));
      }
    }
  }

  @Test
  void numbersOfANewerLibrary() {
    assertEquals(Reason.UNKNOWN, Reason.of(4711));
    assertEquals(Precision.UNKNOWN, Precision.of(4711));
    assertEquals(AdCacheState.UNKNOWN, AdCacheState.of(4711));
    assertEquals(Status.UNKNOWN, new AdclickException(-4711, "new").status());
    assertEquals(-4711, new AdclickException(-4711, "new").code());
    assertEquals("below_reserve", Reason.BELOW_RESERVE.label());
  }
}
