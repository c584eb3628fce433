package io.adclick;

import java.nio.ByteBuffer;

/** What came of a decision ({@link Engine#record}). What is not set is not known. One caller at a time; may be used again. */
public final class Event {
  /** What happened. */
  public enum Kind {
    /** The ad was rendered. */
    IMPRESSION,
    /** It was in view. */
    VIEWABLE,
    /** It was clicked. */
    CLICK,
    /** How long the user stayed after a click. */
    DWELL,
    /** The advertiser got what it pays for. */
    CONVERSION,
    /** The user hid or reported it, or answered a survey. */
    FEEDBACK
  }

  /**
   * What an engine saw at once of an event.
   *
   * @param bits as the C ABI has them; 0 = nothing is wrong
   */
  public record Seen(int bits) {
    /**
     * Whether the impression id was not made with this engine's key.
     *
     * @return whether it was not
     */
    public boolean forged() {
      return (bits & Constants.EVENT_FORGED) != 0;
    }

    /**
     * Whether the impression id is older than the engine's limit.
     *
     * @return whether it is
     */
    public boolean expired() {
      return (bits & Constants.EVENT_EXPIRED) != 0;
    }

    /**
     * Whether this engine recorded the same event before.
     *
     * @return whether it did
     */
    public boolean repeated() {
      return (bits & Constants.EVENT_REPEATED) != 0;
    }

    /**
     * Whether the event's time is earlier than its decision's.
     *
     * @return whether it is, by more than a minute
     */
    public boolean early() {
      return (bits & Constants.EVENT_EARLY) != 0;
    }
  }

  final Memory memory = new Memory(Layout.EVENT);
  private final ByteBuffer bytes = memory.bytes;

  /** An event of which nothing is known. */
  public Event() {}

  /**
   * Sets the impression, from the winner that it came of.
   *
   * @param winner the winner
   * @return this
   */
  public Event impression(Winner winner) {
    return impression(winner.impressionId(), winner.impressionIdHigh());
  }

  /**
   * Sets when it happened.
   *
   * @param micros microseconds since 1970-01-01 00:00 UTC
   * @return this
   */
  public Event timeMicros(long micros) {
    bytes.putLong(Layout.EVENT_TIME_US, micros);
    return this;
  }

  /**
   * Sets the caller's id of the event, such as a click's.
   *
   * @param id the id; 0: an impression has one event of the kind
   * @return this
   */
  public Event eventId(long id) {
    bytes.putLong(Layout.EVENT_EVENT_ID, id);
    return this;
  }

  /**
   * Sets a conversion's click.
   *
   * @param id the click's event id
   * @return this
   */
  public Event clickId(long id) {
    bytes.putLong(Layout.EVENT_CLICK_ID, id);
    return this;
  }

  /**
   * Sets the user's key.
   *
   * @param key the key; 0 = unknown
   * @return this
   */
  public Event userKey(long key) {
    bytes.putLong(Layout.EVENT_USER_KEY, key);
    return this;
  }

  /**
   * Says whether the user must not be kept: the event is then logged without.
   *
   * @param must whether it must not
   * @return this
   */
  public Event keepNoUser(boolean must) {
    bytes.putInt(Layout.EVENT_FLAGS, must ? Constants.KEEP_NO_USER : 0);
    return this;
  }

  /**
   * Sets a conversion's advertiser.
   *
   * @param key the key
   * @return this
   */
  public Event advertiserKey(long key) {
    bytes.putLong(Layout.EVENT_ADVERTISER_KEY, key);
    return this;
  }

  /**
   * Sets a conversion's order.
   *
   * @param id one of the advertiser's; not 0
   * @return this
   */
  public Event orderId(long id) {
    bytes.putLong(Layout.EVENT_ORDER_ID, id);
    return this;
  }

  /**
   * Sets a conversion's value.
   *
   * @param micros millionths of the currency unit
   * @return this
   */
  public Event valueMicros(long micros) {
    bytes.putLong(Layout.EVENT_VALUE_MICROS, micros);
    return this;
  }

  /**
   * Sets what a conversion says of its order.
   *
   * @param kind new, restated or retracted
   * @return this
   */
  public Event conversionKind(ConversionKind kind) {
    bytes.putInt(Layout.EVENT_CONVERSION_KIND, kind.code());
    return this;
  }

  /**
   * Sets the caller's number of a conversion's type.
   *
   * @param type the number
   * @return this
   */
  public Event conversionType(int type) {
    bytes.putInt(Layout.EVENT_CONVERSION_TYPE, type);
    return this;
  }

  /**
   * Sets how long a dwell or a view took.
   *
   * @param micros microseconds
   * @return this
   */
  public Event durationMicros(long micros) {
    bytes.putLong(Layout.EVENT_DURATION_US, micros);
    return this;
  }

  /**
   * Sets what the user said.
   *
   * @param feedback hidden, reported or answered
   * @return this
   */
  public Event feedback(Feedback feedback) {
    bytes.putInt(Layout.EVENT_FEEDBACK, feedback.code());
    return this;
  }

  /**
   * Sets the answer to a survey.
   *
   * @param answer the answer
   * @return this
   */
  public Event answer(int answer) {
    bytes.putInt(Layout.EVENT_ANSWER, answer);
    return this;
  }

  /**
   * Sets the caller's class of the client's address.
   *
   * @param ipClass such as a hash of its /24
   * @return this
   */
  public Event ipClass(long ipClass) {
    bytes.putLong(Layout.EVENT_IP_CLASS, ipClass);
    return this;
  }

  /**
   * Sets what sent the event.
   *
   * @param agent the class of the user agent
   * @return this
   */
  public Event agent(Agent agent) {
    bytes.putInt(Layout.EVENT_AGENT_CLASS, agent.code());
    return this;
  }

  /**
   * Sets the impression.
   *
   * @param id {@link Winner#impressionId}
   * @param high {@link Winner#impressionIdHigh}
   * @return this
   */
  public Event impression(long id, long high) {
    bytes.putLong(Layout.EVENT_IMPRESSION_ID, id).putLong(Layout.EVENT_IMPRESSION_ID_HIGH, high);
    return this;
  }

  /**
   * Forgets everything, to use the memory again.
   *
   * @return this
   */
  public Event clear() {
    bytes.put(0, new byte[Layout.EVENT]);
    return this;
  }
}
