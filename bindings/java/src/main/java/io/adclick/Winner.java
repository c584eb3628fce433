package io.adclick;

/** A view of one of {@link Winners}. There is one for each, which moves: do not keep it. */
public final class Winner {
  private final Winners all;
  private int at;

  Winner(Winners all) {
    this.all = all;
  }

  Winner moveTo(int index) {
    at = index * Layout.WINNER;
    return this;
  }

  /**
   * Which of the candidates it is.
   *
   * @return its index in {@link Candidates}
   */
  public int candidate() {
    return all.bytes.getInt(at + Layout.WINNER_CANDIDATE);
  }

  /**
   * The place that it won.
   *
   * @return the slot, from 0
   */
  public int slot() {
    return all.bytes.getInt(at + Layout.WINNER_SLOT);
  }

  /**
   * Calibrated P(click | impression).
   *
   * @return the probability; NaN when the model has no such head
   */
  public float pctr() {
    return all.bytes.getFloat(at + Layout.WINNER_PCTR);
  }

  /**
   * Calibrated P(conversion | click).
   *
   * @return the probability; NaN when the model has no such head
   */
  public float pcvr() {
    return all.bytes.getFloat(at + Layout.WINNER_PCVR);
  }

  /**
   * The expected value of 1000 impressions at the bid.
   *
   * @return millionths of the currency unit
   */
  public long ecpmMicros() {
    return all.bytes.getLong(at + Layout.WINNER_ECPM_MICROS);
  }

  /**
   * The price of one billed event (1000 impressions for CPM and oCPM).
   *
   * @return millionths of the currency unit
   */
  public long priceMicros() {
    return all.bytes.getLong(at + Layout.WINNER_PRICE_MICROS);
  }

  /**
   * What decided the price.
   *
   * @return the bound
   */
  public PriceBound priceBound() {
    return PriceBound.of(all.bytes.getInt(at + Layout.WINNER_PRICE_BOUND));
  }

  /**
   * The eligible candidate next in rank, placed or not.
   *
   * @return its index in {@link Candidates}; -1 when nobody was behind
   */
  public int runnerUp() {
    return all.bytes.getInt(at + Layout.WINNER_RUNNER_UP);
  }

  /**
   * The probability with which this candidate was put in this place.
   *
   * @return the probability; 1 when nothing is random
   */
  public double propensity() {
    return all.bytes.getDouble(at + Layout.WINNER_PROPENSITY);
  }

  /**
   * Identifies this impression in logs and events: the lower half of an id that no other decision has, and that cannot be
   * made without the engine's key. As text an id is 32 lower-case hexadecimal digits, {@link #impressionIdHigh} first.
   *
   * @return the lower 64 bits
   */
  public long impressionId() {
    return all.bytes.getLong(at + Layout.WINNER_IMPRESSION_ID);
  }

  /**
   * The upper half of {@link #impressionId}.
   *
   * @return the upper 64 bits
   */
  public long impressionIdHigh() {
    return all.bytes.getLong(at + Layout.WINNER_IMPRESSION_ID_HIGH);
  }
}
