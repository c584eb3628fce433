package io.adclick;

import java.nio.charset.StandardCharsets;

/** How an engine is opened. What is not set has its default. One caller at a time; an engine copies what it needs. */
public final class EngineOptions {
  private static final int COPY = 1;
  private static final int NO_OVERLAYS = 2;
  private static final int LAZY_TABLES = 4;
  private static final int KERNEL_MAX = 15;

  int flags;
  float headroom;
  int followMillis;
  byte[] kernel = new byte[0];
  int overlayRows;
  int overlayMaxAgeSeconds;
  /** 1 + its code; 0 = what each bundle says. */
  int precision;
  int adCacheMib;
  int overlayMaxSkewSeconds;

  /** The defaults. */
  public EngineOptions() {}

  /**
   * Copies the files into memory of the process instead of mapping them. Mapped files are shared between processes, but a
   * file that is truncated in place while it is mapped kills the process.
   *
   * @return this
   */
  public EngineOptions copy() {
    flags |= COPY;
    return this;
  }

  /**
   * Lets nothing be written on top of tables ({@link Engine#upsert}), and spares the memory for it.
   *
   * @return this
   */
  public EngineOptions noOverlays() {
    flags |= NO_OVERLAYS;
    return this;
  }

  /**
   * Checks of table files only length and structure, and reads their rows when a request asks for them: for tables larger than
   * memory that were checked where they were packed.
   *
   * @return this
   */
  public EngineOptions lazyTables() {
    flags |= LAZY_TABLES;
    return this;
  }

  /**
   * How much larger than the first model later ones may be. Scorers get that much room.
   *
   * @param factor 1 to 1000; 0 for the default, 2
   * @return this
   */
  public EngineOptions headroom(float factor) {
    headroom = factor;
    return this;
  }

  /**
   * Follows the bundle directory's CURRENT on a thread of the library's own.
   *
   * @param millis how often it looks; 0 = never, only when {@link Engine#poll} is called
   * @return this
   */
  public EngineOptions followMillis(int millis) {
    followMillis = notNegative(millis, "milliseconds");
    return this;
  }

  /**
   * The kernel (instruction set).
   *
   * @param name "portable", "avx2" or "avx512"; empty for the environment's {@code ADCLICK_KERNEL}, or else the best that
   *     this CPU has
   * @return this
   */
  public EngineOptions kernel(String name) {
    byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
    if (bytes.length > KERNEL_MAX) {
      throw new IllegalArgumentException("a kernel's name has up to " + KERNEL_MAX + " bytes, not " + bytes.length);
    }
    kernel = bytes;
    return this;
  }

  /**
   * Room for rows on top of each table ({@link Engine#upsert}).
   *
   * @param rows the number; 0 for the default, 65,536
   * @return this
   */
  public EngineOptions overlayRows(int rows) {
    overlayRows = notNegative(rows, "rows");
    return this;
  }

  /**
   * For how long rows on top of a table count, column by column, by the time of the request.
   *
   * @param seconds the time; 0 = until a newer table comes
   * @return this
   */
  public EngineOptions overlayMaxAgeSeconds(int seconds) {
    overlayMaxAgeSeconds = notNegative(seconds, "seconds");
    return this;
  }

  /**
   * How far the time of an {@link Upsert} may be ahead of this machine's clock. A time far in the future, such as one in another
   * unit, would keep all writes before it from counting.
   *
   * @param seconds the time; 0 for the default, 300; -1 for any time
   * @return this
   */
  public EngineOptions overlayMaxSkewSeconds(int seconds) {
    overlayMaxSkewSeconds = seconds == -1 ? seconds : notNegative(seconds, "seconds");
    return this;
  }

  /**
   * The precision to serve in, instead of what each bundle says. A CPU or a model that cannot do it serves
   * {@link Precision#EXACT}: {@link Engine#precisionError} says why.
   *
   * @param precision which
   * @return this
   */
  public EngineOptions precision(Precision precision) {
    if (precision == Precision.UNKNOWN) {
      throw new IllegalArgumentException("an unknown precision cannot be asked for");
    }
    this.precision = 1 + precision.code();
    return this;
  }

  /**
   * Memory that each generation may take to keep what every ad adds to the first layers of the network.
   * {@link Engine#adCache} tells what it takes. The live generation, the one before and one that is staged have each its
   * own, but for those that have the same model and ads.
   *
   * @param mib MiB; 0 for none, the default
   * @return this
   */
  public EngineOptions adCacheMib(int mib) {
    adCacheMib = notNegative(mib, "MiB");
    return this;
  }

  private static int notNegative(int value, String unit) {
    if (value < 0) {
      throw new IllegalArgumentException(value + " " + unit);
    }
    return value;
  }
}
