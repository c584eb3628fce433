package io.adclick.adserver;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.adclick.Adclick;
import io.adclick.Agent;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The same as in the C++ and the Go server's tests. */
class EventsTest {
  @Test
  void addressesHaveClasses() {
    Map<String, String> digits =
        Map.of(
            "127.0.0.1", "7f0000", "203.0.113.77", "cb0071", "::ffff:1.2.3.4", "010203", "2001:db8:1::5", "20010db80001",
            "2001:DB8:1:ffff::", "20010db80001", "::1", "000000000000");
    digits.forEach((address, part) -> assertEquals(Adclick.hash(part), Events.addressClass(address), address));
    for (String none : List.of("", "a.example", "256.1.1.1", "1.2.3", "01.2.3.4", "fe80::1%eth0", "1.2.3.4:80")) {
      assertEquals(0, Events.addressClass(none), none);
    }
  }

  @Test
  void userAgentsHaveClasses() {
    assertEquals(Agent.UNSTATED, Events.agent("", ""));
    assertEquals(Agent.BROWSER, Events.agent("Mozilla/5.0 Firefox/140.0", ""));
    assertEquals(Agent.ROBOT, Events.agent("Mozilla/5.0 (compatible; GoogleBOT/2.1)", ""));
    assertEquals(Agent.ROBOT, Events.agent("curl/8.0", ""));
    assertEquals(Agent.PREFETCH, Events.agent("Googlebot", "Prefetch;prerender"));
    assertEquals(Agent.PREFETCH, Events.agent("", "preview"));
  }

  @Test
  void lastProxiesSayWhereARequestComesFrom() {
    assertEquals("3.3.3.3", Events.hop(List.of("1.1.1.1, 2.2.2.2", "3.3.3.3"), 1));
    assertEquals("2.2.2.2", Events.hop(List.of("1.1.1.1, 2.2.2.2 ,3.3.3.3"), 2));
    assertEquals("", Events.hop(List.of("1.1.1.1"), 2));
  }
}
