package io.adclick;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** How a log is kept ({@link Engine#openLog}). What is not set has its default. */
public final class LogOptions {
  final Memory memory = new Memory(Layout.LOG_OPTIONS);
  private final ByteBuffer bytes = memory.bytes;

  /** The defaults. */
  public LogOptions() {}

  /**
   * Sets the share of requests whose slate is logged: winners, other candidates, and the raw values behind the model's inputs.
   *
   * @param share 0 to 1; 0 = none, the default
   * @return this
   */
  public LogOptions slateShare(double share) {
    bytes.putDouble(Layout.LOG_OPTIONS_SLATE_SHARE, share);
    return this;
  }

  /**
   * Sets how many records can wait for the writer, of each scorer's decisions and of events.
   *
   * @param records the number; 0 for the default, 8192
   * @return this
   */
  public LogOptions ringRecords(int records) {
    bytes.putInt(Layout.LOG_OPTIONS_RING_RECORDS, records);
    return this;
  }

  /**
   * Sets the most candidates of a slate besides its winners.
   *
   * @param candidates the number; 0 for the default, 32; -1 for none
   * @return this
   */
  public LogOptions slateCandidates(int candidates) {
    bytes.putInt(Layout.LOG_OPTIONS_SLATE_CANDIDATES, candidates);
    return this;
  }

  /**
   * Sets the most raw values of a slate. A slate that has more is lost, and counted.
   *
   * @param values the number; 0 for the default, 4096
   * @return this
   */
  public LogOptions slateValues(int values) {
    bytes.putInt(Layout.LOG_OPTIONS_SLATE_VALUES, values);
    return this;
  }

  /**
   * Sets how many slates can wait for the writer, of each scorer. By default each takes about 170,000 bytes.
   *
   * @param slates the number, up to 4096; 0 for the default, 8
   * @return this
   */
  public LogOptions ringSlates(int slates) {
    bytes.putInt(Layout.LOG_OPTIONS_RING_SLATES, slates);
    return this;
  }

  /**
   * Sets the size at which a segment is closed.
   *
   * @param mib MiB; 0 for the default, 64
   * @return this
   */
  public LogOptions segmentMib(int mib) {
    bytes.putInt(Layout.LOG_OPTIONS_SEGMENT_MIB, mib);
    return this;
  }

  /**
   * Sets the age at which a segment is closed.
   *
   * @param seconds the age; 0 for the default, 300
   * @return this
   */
  public LogOptions segmentSeconds(int seconds) {
    bytes.putInt(Layout.LOG_OPTIONS_SEGMENT_S, seconds);
    return this;
  }

  /**
   * Sets the longest time after which what was written is synced.
   *
   * @param millis milliseconds; 0 for the default, 1000
   * @return this
   */
  public LogOptions syncMillis(int millis) {
    bytes.putInt(Layout.LOG_OPTIONS_SYNC_MS, millis);
    return this;
  }

  /**
   * Sets the input whose id is logged as the device.
   *
   * @param input up to 63 bytes; empty for the default, device_type
   * @return this
   */
  public LogOptions device(String input) {
    byte[] name = input.getBytes(StandardCharsets.UTF_8);
    if (name.length > 63) {
      throw new IllegalArgumentException("up to 63 bytes, not " + name.length + ": " + input);
    }
    bytes.put(Layout.LOG_OPTIONS_DEVICE, new byte[64]).put(Layout.LOG_OPTIONS_DEVICE, name);
    return this;
  }

  /**
   * No thread of the library writes, only {@link Engine#drainLog} does.
   *
   * @return this
   */
  public LogOptions noThread() {
    bytes.putInt(Layout.LOG_OPTIONS_FLAGS, Constants.LOG_NO_THREAD);
    return this;
  }
}
