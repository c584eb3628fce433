package io.adclick;

/** The rules of an auction ({@link Scorer#auction}). What is not set has its default. One caller at a time. */
public final class AuctionOptions {
  private final Memory memory = new Memory(Layout.AUCTION_OPTIONS);

  /** The defaults. */
  public AuctionOptions() {}

  /**
   * Sets the number of places to fill.
   *
   * @param slots the number; 0 for the default, 1
   * @return this
   */
  public AuctionOptions slots(int slots) {
    memory.bytes.putInt(Layout.AUCTION_OPTIONS_N_SLOTS, slots);
    return this;
  }

  /**
   * Sets the exponent of the event's probability in the rank score.
   *
   * @param exponent in (0, 1]; 0 for the default, 1
   * @return this
   */
  public AuctionOptions squash(double exponent) {
    memory.bytes.putDouble(Layout.AUCTION_OPTIONS_SQUASH, exponent);
    return this;
  }

  /**
   * Sets the least rank score.
   *
   * @param micros millionths of the currency unit per 1000 impressions
   * @return this
   */
  public AuctionOptions scoreFloorMicros(long micros) {
    memory.bytes.putLong(Layout.AUCTION_OPTIONS_SCORE_FLOOR_MICROS, micros);
    return this;
  }

  /**
   * Sets the reserve of candidates that have none of their own.
   *
   * @param kind of bids of this kind
   * @param micros millionths of the currency unit per billed event
   * @return this
   */
  public AuctionOptions reserveMicros(BidKind kind, long micros) {
    if (kind == BidKind.UNKNOWN) {
      throw new IllegalArgumentException("a reserve for bids of an unknown kind");
    }
    memory.bytes.putLong(Layout.AUCTION_OPTIONS_RESERVE_MICROS + kind.code() * Long.BYTES, micros);
    return this;
  }

  long address() {
    return memory.address;
  }
}
