package io.adclick;

/** The arithmetic that an engine serves in, and that a request was computed in. */
public enum Precision {
  /** fp16 weights, f32 sums. */
  EXACT(0),
  /** bf16 weights and activations, f32 sums. */
  BF16(1),
  /** As BF16, with 8-bit integers in the deep layers behind a ReLU. */
  INT8(2),
  /** Of a decision: INT8 or BF16 for all candidates, and EXACT for those that winners and prices depend on. */
  AUCTION_EXACT(3),
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
