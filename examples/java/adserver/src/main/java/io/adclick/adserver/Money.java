package io.adclick.adserver;

import io.adclick.BidKind;
import io.adclick.Winner;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.regex.Pattern;

/** Amounts in micros (millionths of a currency unit) and rates in billionths. Exact: no binary float comes near them. */
final class Money {
  /** The rate of the own currency. */
  static final long ONE = 1_000_000_000L;

  /** Results are capped here, as the engine's own amounts are. */
  static final long MOST = 1L << 53;

  static final long MICROS = 1_000_000L;
  /** A floor above 10^9 units is taken as so much, in micros. */
  private static final long MOST_FLOOR = 1_000_000_000_000_000L;

  private static final Pattern AMOUNT = Pattern.compile("[0-9]{1,6}(\\.[0-9]{1,6})?");
  private static final Pattern RATE = Pattern.compile("[0-9]{1,6}(\\.[0-9]{1,9})?");

  private Money() {}

  /** An amount of the campaigns file in micros; -1 when the text is none. */
  static long amount(String text) {
    return AMOUNT.matcher(text).matches() ? new BigDecimal(text).movePointRight(6).longValueExact() : -1;
  }

  /** A rate of the campaigns file in billionths; 0 when the text is none. */
  static long rate(String text) {
    return RATE.matcher(text).matches() ? new BigDecimal(text).movePointRight(9).longValueExact() : 0;
  }

  /**
   * A floor in micros, rounded up, from the text of a JSON number; -1 when it is below 0. Digit by digit, so that an exponent of
   * any size costs nothing.
   */
  static long floorMicros(String number) {
    boolean negative = number.startsWith("-");
    int end = number.length();
    long exponent = 0;
    for (int i = 0; i < end; i++) {
      if (number.charAt(i) == 'e' || number.charAt(i) == 'E') {
        exponent = exponent(number.substring(i + 1));
        end = i;
      }
    }
    int dot = number.indexOf('.');
    int begin = negative ? 1 : 0;
    // So many digits come before the decimal point of the amount in micros.
    long whole = (dot < 0 || dot > end ? end : dot) - begin + exponent + 6;
    long sum = 0;
    boolean dropped = false;
    boolean some = false;
    for (int i = begin; i < end; i++) {
      if (i == dot) {
        continue;
      }
      int digit = number.charAt(i) - '0';
      some |= digit != 0;
      if (whole > 0) {
        sum = Math.min(sum * 10 + digit, MOST_FLOOR);
      } else {
        dropped |= digit != 0;
      }
      whole--;
    }
    for (; whole > 0 && sum > 0 && sum < MOST_FLOOR; whole--) {
      sum = Math.min(sum * 10, MOST_FLOOR);
    }
    return negative && some ? -1 : Math.min(sum + (dropped ? 1 : 0), MOST_FLOOR);
  }

  private static long exponent(String digits) {
    boolean negative = digits.startsWith("-");
    long sum = 0;
    for (int i = 0; i < digits.length(); i++) {
      char c = digits.charAt(i);
      if (c >= '0' && c <= '9') {
        sum = Math.min(sum * 10 + (c - '0'), 1_000_000_000L);
      }
    }
    return negative ? -sum : sum;
  }

  /** To the own currency, rounded up. */
  static long toOwnUp(long micros, long rate) {
    return scaled(micros, rate, ONE, RoundingMode.CEILING);
  }

  /** To the own currency, rounded down. */
  static long toOwnDown(long micros, long rate) {
    return scaled(micros, rate, ONE, RoundingMode.FLOOR);
  }

  /** From the own currency, rounded down. */
  static long fromOwn(long micros, long rate) {
    return scaled(micros, ONE, rate, RoundingMode.FLOOR);
  }

  /** What a bid must reach: a floor in micros of the currency of that rate, and the least price in micros of the own one. */
  record Least(long floor, long rate, long own) {
    /** In the own currency, rounded up. */
    long inOwn() {
      return Math.max(toOwnUp(floor, rate), own);
    }

    /**
     * A price in micros of the currency of rate {@code to}: what the ad is worth, rounded down, or less, what is needed,
     * rounded down, where that is enough; never under the floor, which is rounded up. Both are in the own currency.
     *
     * @return -1 when the ad is not worth its floor
     */
    long price(long worth, long needed, long to) {
      long highest = fromOwn(worth, to);
      BigInteger lowest =
          BigInteger.valueOf(floor).multiply(BigInteger.valueOf(rate)).max(BigInteger.valueOf(own).multiply(BigInteger.valueOf(ONE)));
      lowest = lowest.add(BigInteger.valueOf(to - 1)).divide(BigInteger.valueOf(to));
      if (lowest.compareTo(BigInteger.valueOf(highest)) > 0) {
        return -1;
      }
      return Math.min(Math.max(fromOwn(needed, to), lowest.longValueExact()), highest);
    }
  }

  private static long scaled(long micros, long by, long over, RoundingMode rounding) {
    if (by == over) {
      return Math.min(micros, MOST);
    }
    BigInteger[] parts = BigInteger.valueOf(micros).multiply(BigInteger.valueOf(by)).divideAndRemainder(BigInteger.valueOf(over));
    BigInteger whole = rounding == RoundingMode.CEILING && parts[1].signum() != 0 ? parts[0].add(BigInteger.ONE) : parts[0];
    return capped(whole);
  }

  private static long capped(BigInteger amount) {
    return amount.bitLength() > 53 ? MOST : Math.min(amount.longValue(), MOST);
  }

  /** What 1000 impressions pay at the winner's price for its billed event, rounded up. */
  static long expectedCpm(BidKind kind, Winner winner) {
    if (kind == BidKind.CPM || kind == BidKind.OCPM) {
      return winner.priceMicros();
    }
    // A float is a double is a decimal, exactly.
    BigDecimal product = BigDecimal.valueOf(winner.priceMicros()).multiply(BigDecimal.valueOf(1000)).multiply(new BigDecimal(winner.pctr()));
    if (kind == BidKind.CPA) {
      product = product.multiply(new BigDecimal(winner.pcvr()));
    }
    return capped(product.setScale(0, RoundingMode.CEILING).toBigInteger());
  }

  /** As the text of a JSON number in units. */
  static String units(long micros) {
    long rest = micros % MICROS;
    if (rest == 0) {
      return Long.toString(micros / MICROS);
    }
    String digits = Long.toString(MICROS + rest).substring(1);
    int end = digits.length();
    while (digits.charAt(end - 1) == '0') {
      end--;
    }
    return micros / MICROS + "." + digits.substring(0, end);
  }
}
