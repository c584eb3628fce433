package io.adclick.adserver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class MoneyTest {
  @Test
  void floorsAreReadToTheDigit() {
    assertEquals(0, Money.floorMicros("0"));
    assertEquals(0, Money.floorMicros("-0.0e5"));
    assertEquals(100_000, Money.floorMicros("0.1"));
    assertEquals(300_000, Money.floorMicros("0.30000000000000000000"));
    assertEquals(300_001, Money.floorMicros("0.300000000000000000001"));
    assertEquals(1, Money.floorMicros("1e-300"));
    assertEquals(1_500_000, Money.floorMicros("1.5"));
    assertEquals(1_500_000, Money.floorMicros("15E-1"));
    assertEquals(1_500_000, Money.floorMicros("0.00015e+4"));
    assertEquals(123_456_789_012L, Money.floorMicros("123456.789012"));
    assertEquals(1_000_000_000_000_000L, Money.floorMicros("1000000000"));
    assertEquals(1_000_000_000_000_000L, Money.floorMicros("1e99999999999999999999"));
    assertEquals(0, Money.floorMicros("0e99999999999999999999"));
    assertEquals(1, Money.floorMicros("1e-99999999999999999999"));
    assertEquals(-1, Money.floorMicros("-0.000000000001"));
  }

  @Test
  void amountsAndRatesAreStrict() {
    assertEquals(1_250_000, Money.amount("1.25"));
    assertEquals(999_999_999_999L, Money.amount("999999.999999"));
    assertEquals(0, Money.amount("0"));
    for (String none : new String[] {"", ".5", "1.", "1.1234567", "1234567", "-1", "1e2", " 1", "1,5", "١"}) {
      assertEquals(-1, Money.amount(none), none);
    }
    assertEquals(1_084_200_000, Money.rate("1.0842"));
    assertEquals(1, Money.rate("0.000000001"));
    assertEquals(0, Money.rate("0.0000000001"));
    assertEquals(0, Money.rate("0"));
  }

  @Test
  void conversionsRoundTowardsTheServersSide() {
    long rate = Money.rate("1.0842");
    assertEquals(1_084_200, Money.toOwnUp(1_000_000, rate));
    assertEquals(2, Money.toOwnUp(1, rate));
    assertEquals(1, Money.toOwnDown(1, rate));
    assertEquals(922_339, Money.fromOwn(1_000_000, rate));
    assertEquals(Money.MOST, Money.toOwnUp(1_000_000_000_000_000L, Money.rate("999999")));
    assertEquals(Money.MOST, Money.fromOwn(Money.MOST, Money.rate("0.000000001")));
    assertEquals(Money.MOST, Money.toOwnUp(Long.MAX_VALUE, Money.ONE));
    assertEquals(7, Money.toOwnUp(7, Money.ONE));
  }

  /**
   * Random floors in many currencies: no price is under its floor, none above what the ad is worth, and none is missing that could
   * be. Compared as products, without the divisions of the code.
   */
  @Test
  void pricesKeepFloors() {
    Random random = new Random(20261130);
    long[] rates = new long[20];
    Arrays.setAll(rates, i -> some(random, 42));
    rates[0] = Money.ONE;
    int bids = 0;
    for (int i = 0; i < 100_000; i++) {
      Money.Least floor = new Money.Least(some(random, 44), rates[random.nextInt(20)], some(random, 20));
      // About the floor, where rounding decides, in one case of two.
      long worth = random.nextBoolean() ? some(random, 47) : Math.max(1, floor.inOwn() + random.nextInt(5) - 2);
      long rate = rates[random.nextInt(20)];
      BigInteger least = product(floor.floor(), floor.rate()).max(product(floor.own(), Money.ONE));
      BigInteger most = product(worth, Money.ONE);
      long price = floor.price(worth, Math.min(worth, some(random, 40)), rate);
      if (price < 0) {
        BigInteger next = least.add(BigInteger.valueOf(rate - 1)).divide(BigInteger.valueOf(rate));
        assertTrue(next.multiply(BigInteger.valueOf(rate)).compareTo(most) > 0 || next.compareTo(BigInteger.valueOf(Money.MOST)) > 0);
        continue;
      }
      bids++;
      assertTrue(product(price, rate).compareTo(least) >= 0 && product(price, rate).compareTo(most) <= 0, floor + " " + price);
    }
    assertTrue(bids > 10_000 && bids < 100_000, "bids: " + bids);
  }

  private static long some(Random random, int bits) {
    return (random.nextLong() >>> (63 - random.nextInt(bits))) + 1;
  }

  private static BigInteger product(long a, long b) {
    return BigInteger.valueOf(a).multiply(BigInteger.valueOf(b));
  }

  @Test
  void pricesAreWrittenInUnits() {
    assertEquals("3", Money.units(3_000_000));
    assertEquals("1.25", Money.units(1_250_000));
    assertEquals("0.000001", Money.units(1));
    assertEquals("12.000034", Money.units(12_000_034));
    assertEquals("9007199254.740992", Money.units(Money.MOST));
  }
}
