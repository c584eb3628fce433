package io.adclick;

/** What became of a candidate. */
public enum Reason {
  /** It has a place. */
  WON(0),
  /** Eligible, but every place went to candidates ahead of it. */
  OUTRANKED(1),
  /** The bid, in billed units, is under the candidate's reserve. */
  BELOW_RESERVE(2),
  /** The bid is zero, negative, NaN or infinite. */
  INVALID_BID(3),
  /** The bid is over 2^53 micros. */
  BID_TOO_LARGE(4),
  /** pCTR is needed and is NaN, not above 0, or above 1. */
  INVALID_PCTR(5),
  /** pCVR is needed and is not above 0, or above 1. */
  INVALID_PCVR(6),
  /** pCVR is needed and is missing (NaN). */
  MISSING_PCVR(7),
  /** The bid modifier is zero, negative, NaN or infinite. */
  INVALID_MODIFIER(8),
  /** The quality is zero, negative, NaN or infinite. */
  INVALID_QUALITY(9),
  /** The reserve is negative, NaN or infinite. */
  INVALID_RESERVE(10),
  /** The rank score is under the policy's score floor. */
  BELOW_SCORE_FLOOR(11),
  /** The rank score over- or underflows f64 arithmetic. */
  SCORE_OUT_OF_RANGE(12),
  /** The bid's kind is not one that this library knows. */
  UNKNOWN_BID_KIND(13),
  /** It was not scored before the deadline, so it took no part. */
  CUT(14),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(-1);

  private static final Reason[] ALL = values();

  private final int code;

  Reason(int code) {
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

  static Reason of(int code) {
    for (Reason each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }

  /**
   * The reason's name as logs and metrics have it.
   *
   * @return such as "below_reserve"
   */
  public String label() {
    return Native.reasonName(code);
  }
}
