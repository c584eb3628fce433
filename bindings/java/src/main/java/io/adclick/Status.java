package io.adclick;

/** What a call returned, as {@link AdclickException} tells it. */
public enum Status {
  /** Done. */
  OK(0),
  /** An argument is NULL, out of range, or contradicts another one. */
  INVALID_ARGUMENT(-1),
  /**
   * A sized struct has a size smaller than its first version or absurdly large (it was never set), or holds non-
   * zero bytes past what this library knows: the program asks for something newer than the library.
   */
  BAD_STRUCT_SIZE(-2),
  /**
   * More candidates than the scorer was sized for (or more than 1,048,576), more than 65,536 names, or more rows
   * on top of tables than memory has room for.
   */
  CAPACITY_EXCEEDED(-3),
  /** An input value is NaN or infinite; or, of {@link Engine#inputError}, values came with the wrong side. */
  INVALID_VALUE(-4),
  /** The engine was closed, or the handle is not one: closed or used up before, or never given out. */
  CLOSED(-5),
  /** A file or directory cannot be opened or read. */
  IO(-6),
  /** A file is damaged: checksum, length, offset, count or content. */
  CORRUPT(-7),
  /** A file needs a newer library, or describes something that this one does not do. */
  UNSUPPORTED(-8),
  /** The model's golden requests give other results here than where it was packed. */
  GOLDEN_MISMATCH(-9),
  /** There is no earlier generation to roll back to. */
  NO_PREVIOUS(-10),
  /** The scorer is in use by another call; or something goes on after the time given to {@link Engine#closeWithin}. */
  BUSY(-11),
  /** The array for the winners is too small. */
  BUFFER_TOO_SMALL(-12),
  /** A bug in the library: a panic was caught at the boundary. */
  INTERNAL(-100),
  /** A number that these classes do not know: the library is newer. */
  UNKNOWN(Integer.MIN_VALUE);

  private static final Status[] ALL = values();

  private final int code;

  Status(int code) {
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

  static Status of(int code) {
    for (Status each : ALL) {
      if (each.code == code) {
        return each;
      }
    }
    return UNKNOWN;
  }
}
