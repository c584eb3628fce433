package io.adclick;

/**
 * Bills single impressions at prices per 1000 and carries what is left over, so that nothing is lost: one impression is rarely a
 * whole number of micros. Keep one for each account that is billed. One caller at a time.
 */
public final class Carry {
  private int thousandths;

  /** Nothing left over. */
  public Carry() {}

  /**
   * One that was stored.
   *
   * @param thousandths what was left over, in thousandths of a micro; 0 or more
   */
  public Carry(int thousandths) {
    if (thousandths < 0) {
      throw new IllegalArgumentException("thousandths: " + thousandths + ", expected 0 or more");
    }
    this.thousandths = thousandths;
  }

  /**
   * What is left over, to be stored.
   *
   * @return thousandths of a micro
   */
  public int thousandths() {
    return thousandths;
  }

  /**
   * Bills one impression.
   *
   * @param priceMicros the price of 1000 impressions, in micros
   * @return what to bill, in micros; 0 for a price under 0
   */
  public long bill(long priceMicros) {
    if (priceMicros < 0) {
      return 0;
    }
    long left = thousandths + priceMicros % 1000;
    thousandths = (int) (left % 1000);
    return priceMicros / 1000 + left / 1000;
  }
}
