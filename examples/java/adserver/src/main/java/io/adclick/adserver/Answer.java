package io.adclick.adserver;

/**
 * An answer to a bid request.
 *
 * @param status of HTTP: 200, 204 or 400
 * @param noBid of a 204: why
 * @param body of the others: JSON
 */
record Answer(int status, int noBid, byte[] body) {
  static final int TECHNICAL = 1;
  static final int NO_TIME = 15;
  static final int NO_CANDIDATE = 500;
  static final int UNDER_FLOOR = 501;
  static final int UNKNOWN_CURRENCY = 502;
  static final int OTHER_SEAT = 503;
  static final int OTHER_TAXONOMY = 504;
  static final int OUT_OF_HOME = 505;

  private static final byte[] NONE = {};

  static Answer noBid(int why) {
    return new Answer(204, why, NONE);
  }

  static Answer invalid(Invalid why) {
    return new Answer(400, 2, Response.invalid(why));
  }
}
