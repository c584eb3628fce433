package io.adclick;

import java.lang.ref.Reference;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;

/** The native calls of an engine, which stays reachable during each, and the memory that they take turns with. */
final class Calls {
  /** Room for a text that goes in: names and most paths. */
  static final int TEXT = 1024;

  static final byte[] NO_TEXT = {};

  private final Handle handle;
  /** The memory of the last call, for the next one; null while a call has it. */
  private final AtomicReference<Frame> spare = new AtomicReference<>();

  Calls(Handle handle) {
    this.handle = handle;
  }

  /** One native call. */
  interface Call {
    int run(long engine, Frame frame, int textLength);
  }

  /** The failure that a call is there to tell. */
  Optional<AdclickException> told(Engine engine, Call call) {
    Frame frame = take(NO_TEXT);
    try {
      int status = call.run(handle.get(), frame, 0);
      if (status == 0) {
        return Optional.empty();
      }
      if (frame.failure(status) instanceof AdclickException failure) {
        return Optional.of(failure);
      }
      throw frame.failure(status);
    } finally {
      giveBack(frame);
      Reference.reachabilityFence(engine);
    }
  }

  long call(Engine engine, byte[] text, Call call) {
    return call(engine, text, call, Frame::number);
  }

  <R> R call(Engine engine, byte[] text, Call call, Function<Frame, R> result) {
    Frame frame = take(text);
    try {
      int status = call.run(handle.get(), frame, text.length);
      if (status != 0) {
        throw frame.failure(status);
      }
      return result.apply(frame);
    } finally {
      giveBack(frame);
      Reference.reachabilityFence(engine);
    }
  }

  Frame take(byte[] text) {
    Frame frame = spare.getAndSet(null);
    if (frame == null || !frame.holds(text)) {
      frame = new Frame(Math.max(TEXT, text.length));
    }
    frame.text(text);
    return frame;
  }

  void giveBack(Frame frame) {
    spare.set(frame);
  }

  static byte[] utf8(String name) {
    return name.getBytes(StandardCharsets.UTF_8);
  }

  /** As the Java runtime itself gives names to the file system. */
  static byte[] bytes(Path path) {
    String encoding = System.getProperty("sun.jnu.encoding");
    return path.toString().getBytes(encoding == null ? Charset.defaultCharset() : Charset.forName(encoding));
  }
}
