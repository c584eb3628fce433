package io.adclick;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The {@code adclick_frame} of a call: its error, outcome and result; and behind it room for a text that goes in. */
final class Frame {
  private static final int MESSAGE = Layout.FRAME_ERROR + Layout.ERROR_MESSAGE;
  private static final int MESSAGE_END = Layout.FRAME_OUTCOME;
  private static final int RESULT = Layout.FRAME_RESULT;

  final Memory memory;
  private final int textCapacity;

  Frame(int textCapacity) {
    this.textCapacity = textCapacity;
    memory = new Memory((long) Layout.FRAME + textCapacity);
  }

  long address() {
    return memory.address;
  }

  boolean holds(byte[] text) {
    return text.length <= textCapacity;
  }

  void text(byte[] text) {
    memory.bytes.put(Layout.FRAME, text);
  }

  long textAddress() {
    return memory.address + Layout.FRAME;
  }

  long number() {
    return memory.bytes.getLong(RESULT);
  }

  int resultInt(int offset) {
    return memory.bytes.getInt(RESULT + offset);
  }

  long resultLong(int offset) {
    return memory.bytes.getLong(RESULT + offset);
  }

  float resultFloat(int offset) {
    return memory.bytes.getFloat(RESULT + offset);
  }

  /** A text of the result, closed with 0. */
  String resultText(int offset, int most) {
    return text(RESULT + offset, RESULT + offset + most);
  }

  /** What a failed call told. */
  RuntimeException failure(int status) {
    if (status == Status.CLOSED.code()) {
      return new IllegalStateException(message());
    }
    return new AdclickException(status, message());
  }

  String message() {
    return text(MESSAGE, MESSAGE_END);
  }

  private String text(int from, int most) {
    ByteBuffer bytes = memory.bytes;
    int end = from;
    while (end < most && bytes.get(end) != 0) {
      end++;
    }
    byte[] text = new byte[end - from];
    bytes.get(from, text);
    return new String(text, StandardCharsets.UTF_8);
  }
}
