package io.adclick;

/** A call that the library refused or that failed. Its outputs are what they were before. */
public final class AdclickException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** The status' number. */
  private final int code;

  AdclickException(int code, String message) {
    super(message);
    this.code = code;
  }

  /**
   * Why.
   *
   * @return the status; {@link Status#UNKNOWN} when the library is newer than these classes and has one that they do not know
   */
  public Status status() {
    return Status.of(code);
  }

  /**
   * The number of the status.
   *
   * @return a negative number that is never renumbered
   */
  public int code() {
    return code;
  }

  /** The status' name and the message, one sentence. */
  @Override
  public String toString() {
    return "io.adclick.AdclickException: " + Native.statusName(code) + ": " + getMessage();
  }
}
