package io.adclick;

/** How exactly a request was computed. */
public enum Precision {
  /** fp16 weights, f32 sums. */
  EXACT(0),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(-1);

  private static final Precision[] ALL = values();

  private final int code;

  Precision(int code) {
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

  static Precision of(int code) {
    for (Precision each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }
}
