package io.adclick;

/** What decided a winner's price. */
public enum PriceBound {
  /** The next candidate's score. */
  NEXT_SCORE(0),
  /** The reserve. */
  RESERVE(1),
  /** The candidate's own bid. */
  BID(2),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(-1);

  private static final PriceBound[] ALL = values();

  private final int code;

  PriceBound(int code) {
    this.code = code;
  }

  /**
   * The number in the C ABI, which is never renumbered.
   *
   * @return the number
   */
  public int code() {
    return code;
  }

  static PriceBound of(int code) {
    for (PriceBound each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }
}
