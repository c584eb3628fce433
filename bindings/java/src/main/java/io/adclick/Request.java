package io.adclick;

import java.nio.ByteBuffer;

/**
 * One ad request: who asks, when, where. Made once with room for its values, then cleared and filled for each request,
 * which allocates nothing. One caller at a time.
 */
public final class Request {
  private static final byte[] ZEROS = new byte[Layout.REQUEST];

  private final Memory memory;
  private final ByteBuffer bytes;
  private final ValueArray values;

  /**
   * A request in which everything is 0.
   *
   * @param maxValues room for so many values of features
   */
  public Request(int maxValues) {
    memory = new Memory(Layout.REQUEST + (long) Memory.capacity(maxValues, "values") * Layout.VALUE);
    bytes = memory.bytes;
    values = new ValueArray(bytes, Layout.REQUEST, maxValues);
  }

  /**
   * Sets everything to 0 and drops the values.
   *
   * @return this
   */
  public Request clear() {
    bytes.put(0, ZEROS);
    values.clear();
    return this;
  }

  /**
   * Sets the caller's id of the request, which seeds what is random and ends up in logs.
   *
   * @param id the id
   * @return this
   */
  public Request requestId(long id) {
    bytes.putLong(Layout.REQUEST_REQUEST_ID, id);
    return this;
  }

  /**
   * The caller's id of the request.
   *
   * @return the id
   */
  public long requestId() {
    return bytes.getLong(Layout.REQUEST_REQUEST_ID);
  }

  /**
   * Sets the user's key in user tables.
   *
   * @param key the key; 0 = unknown
   * @return this
   */
  public Request userKey(long key) {
    bytes.putLong(Layout.REQUEST_USER_KEY, key);
    return this;
  }

  /**
   * The user's key in user tables.
   *
   * @return the key; 0 = unknown
   */
  public long userKey() {
    return bytes.getLong(Layout.REQUEST_USER_KEY);
  }

  /**
   * Sets the id of the session, for the decision log.
   *
   * @param id the caller's id; 0 = unknown
   * @return this
   */
  public Request sessionId(long id) {
    bytes.putLong(Layout.REQUEST_SESSION_ID, id);
    return this;
  }

  /**
   * The id of the session.
   *
   * @return the caller's id; 0 = unknown
   */
  public long sessionId() {
    return bytes.getLong(Layout.REQUEST_SESSION_ID);
  }

  /**
   * Says whether the user must not be kept: the decision is then logged without user and session, and without values that
   * belong to the user.
   *
   * @param must whether it must not
   * @return this
   */
  public Request keepNoUser(boolean must) {
    bytes.putInt(Layout.REQUEST_FLAGS, must ? Constants.KEEP_NO_USER : 0);
    return this;
  }

  /**
   * Sets when the request was made.
   *
   * @param micros microseconds since 1970-01-01 00:00 UTC
   * @return this
   */
  public Request timeMicros(long micros) {
    bytes.putLong(Layout.REQUEST_TIME_US, micros);
    return this;
  }

  /**
   * When the request was made.
   *
   * @return microseconds since 1970-01-01 00:00 UTC
   */
  public long timeMicros() {
    return bytes.getLong(Layout.REQUEST_TIME_US);
  }

  /**
   * Sets the user's offset from UTC.
   *
   * @param seconds -86400 to 86400
   * @return this
   */
  public Request utcOffsetSeconds(int seconds) {
    bytes.putInt(Layout.REQUEST_UTC_OFFSET_S, seconds);
    return this;
  }

  /**
   * The user's offset from UTC.
   *
   * @return seconds
   */
  public int utcOffsetSeconds() {
    return bytes.getInt(Layout.REQUEST_UTC_OFFSET_S);
  }

  /**
   * Sets the number of places to fill.
   *
   * @param slots the number; 0 = 1
   * @return this
   */
  public Request slots(int slots) {
    bytes.putInt(Layout.REQUEST_N_SLOTS, slots);
    return this;
  }

  /**
   * The number of places to fill.
   *
   * @return the number; 0 = 1
   */
  public int slots() {
    return bytes.getInt(Layout.REQUEST_N_SLOTS);
  }

  /**
   * Sets the caller's number of the placement.
   *
   * @param placement the number
   * @return this
   */
  public Request placement(int placement) {
    bytes.putInt(Layout.REQUEST_PLACEMENT, placement);
    return this;
  }

  /**
   * The caller's number of the placement.
   *
   * @return the number
   */
  public int placement() {
    return bytes.getInt(Layout.REQUEST_PLACEMENT);
  }

  /**
   * Sets the time that {@link Scorer#decide} may take. Candidates that are not scored in time are cut.
   *
   * @param micros microseconds; 0 = no limit
   * @return this
   */
  public Request deadlineMicros(int micros) {
    bytes.putInt(Layout.REQUEST_DEADLINE_US, micros);
    return this;
  }

  /**
   * The time that {@link Scorer#decide} may take.
   *
   * @return microseconds; 0 = no limit
   */
  public int deadlineMicros() {
    return bytes.getInt(Layout.REQUEST_DEADLINE_US);
  }

  /**
   * Adds the value of a number feature.
   *
   * @param feature the feature's handle
   * @param number the number
   * @return this
   */
  public Request number(int feature, float number) {
    values.add(feature, number, 0);
    return this;
  }

  /**
   * Adds the value of a category feature: once for each value of one that has many.
   *
   * @param feature the feature's handle
   * @param id {@link Adclick#hash(String)} of a string, or the integer itself
   * @return this
   */
  public Request id(int feature, long id) {
    values.add(feature, 0, id);
    return this;
  }

  /**
   * Adds a value of a multi-valued category feature with its weight.
   *
   * @param feature the feature's handle
   * @param id {@link Adclick#hash(String)} of a string, or the integer itself
   * @param weight the weight; 0 = 1
   * @return this
   */
  public Request weighted(int feature, long id, float weight) {
    values.add(feature, weight, id);
    return this;
  }

  /**
   * Adds the value of a vector feature.
   *
   * @param feature the feature's handle
   * @param numbers all of its positions
   * @return this
   */
  public Request vector(int feature, float[] numbers) {
    values.addAll(feature, numbers);
    return this;
  }

  /**
   * How many values it has.
   *
   * @return the number
   */
  public int valueCount() {
    return values.size();
  }

  /**
   * How many values it has room for.
   *
   * @return the number
   */
  public int valueCapacity() {
    return values.capacity();
  }

  long address() {
    return memory.address;
  }

  long valuesAddress() {
    return memory.address + Layout.REQUEST;
  }
}
