package io.adclick;

/** Why a generation has an ad cache or has none. */
public enum AdCacheState {
  /** The options allow no memory for one. */
  OFF(0),
  /** It has one. */
  ON(1),
  /** It would take more memory than the options allow. */
  TOO_LARGE(2),
  /**
   * No feature reads a table whose key is the ad alone, or the first layers have so few such columns that keeping their sums
   * would save nothing. A cache of more than 1 MiB has its sums in memory and must save more; one of at most 1 MiB is kept
   * whenever it saves anything.
   */
  USELESS(3),
  /** The precision served is BF16 or INT8, whose first layers are cheap: only exact sums are kept. */
  NOT_EXACT(4),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(-1);

  private static final AdCacheState[] ALL = values();

  private final int code;

  AdCacheState(int code) {
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

  static AdCacheState of(int code) {
    for (AdCacheState each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }
}
