package io.adclick;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;

/** A generation that was opened and checked and is not live yet. One caller at a time, on any thread. */
public final class Staged implements AutoCloseable {
  private final Engine engine;
  private final Handle handle;
  private final Cleaner.Cleanable cleanable;

  Staged(Engine engine, long staged) {
    this.engine = engine;
    handle = new Handle(staged, "staged generation was activated or closed before", Native::stagedDiscard);
    cleanable = Handle.CLEANER.register(this, handle);
  }

  /**
   * Makes it live by one pointer swap: calls that begin from now on see it, calls under way end with the generation that
   * they began with. The one before is kept for {@link Engine#rollback}. Uses this object up, whatever the result.
   *
   * @return the generation's id
   * @throws IllegalStateException when the engine was closed, or this was used up before
   */
  public long activate() {
    long staged = handle.take();
    Frame frame = new Frame(0);
    try {
      int status = Native.stagedActivate(staged, frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      return frame.number();
    } finally {
      cleanable.clean();
      Reference.reachabilityFence(frame);
      Reference.reachabilityFence(engine);
    }
  }

  /**
   * The id that the generation will have.
   *
   * @return the id
   * @throws IllegalStateException when this was used up
   */
  public long generation() {
    Frame frame = new Frame(0);
    try {
      int status = Native.stagedGeneration(handle.get(), frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      return frame.number();
    } finally {
      Reference.reachabilityFence(frame);
      Reference.reachabilityFence(this);
    }
  }

  /** Drops it without making it live. Does nothing when it was activated or closed before. */
  @Override
  public void close() {
    cleanable.clean();
  }
}
