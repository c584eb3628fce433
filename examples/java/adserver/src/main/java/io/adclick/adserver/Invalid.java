package io.adclick.adserver;

/** A request that breaks a rule of the mapping: which one, and where. Made for each bad request, so it has no stack trace. */
final class Invalid extends Exception {
  private static final long serialVersionUID = 1L;

  /** The word of the mapping's table, such as "range". */
  final String error;

  /** A path such as {@code imp[0].banner.w}; empty for the root. */
  final String at;

  Invalid(String error, String at) {
    super(error + " at " + at, null, false, false);
    this.error = error;
    this.at = at;
  }
}
