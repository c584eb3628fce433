package io.adclick;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;

/** A native handle that is given back once: by close, or by the cleaner when its owner is unreachable. */
final class Handle implements Runnable {
  static final Cleaner CLEANER = Cleaner.create();
  /** Native objects that were made and not given back; for the leak tests. */
  static final AtomicLong LIVE = new AtomicLong();

  private final AtomicLong handle;
  private final String what;
  private final LongConsumer free;

  Handle(long handle, String what, LongConsumer free) {
    this.handle = new AtomicLong(handle);
    this.what = what;
    this.free = free;
    LIVE.incrementAndGet();
  }

  long get() {
    long value = handle.get();
    if (value == 0) {
      throw closed();
    }
    return value;
  }

  /** The handle, for a call that uses it up. */
  long take() {
    long value = handle.getAndSet(0);
    if (value == 0) {
      throw closed();
    }
    LIVE.decrementAndGet();
    return value;
  }

  boolean isClosed() {
    return handle.get() == 0;
  }

  @Override
  public void run() {
    long value = handle.getAndSet(0);
    if (value != 0) {
      free.accept(value);
      LIVE.decrementAndGet();
    }
  }

  private IllegalStateException closed() {
    return new IllegalStateException("the " + what);
  }
}
