package io.adclick;

/** What a bid pays for. */
public enum BidKind {
  /** Per 1000 impressions. */
  CPM(0),
  /** Per click. */
  CPC(1),
  /** Per conversion. */
  CPA(2),
  /** Bid per conversion, billed per 1000 impressions. */
  OCPM(3),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(-1);

  private static final BidKind[] ALL = values();

  private final int code;

  BidKind(int code) {
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

  static BidKind of(int code) {
    for (BidKind each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }
}
