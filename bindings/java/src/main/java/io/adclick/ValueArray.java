package io.adclick;

import java.nio.ByteBuffer;

/** An array of {@code adclick_value} in some buffer, filled from the front. */
final class ValueArray {
  private final ByteBuffer bytes;
  private final int offset;
  private final int capacity;
  private int size;

  ValueArray(ByteBuffer bytes, int offset, int capacity) {
    this.bytes = bytes;
    this.offset = offset;
    this.capacity = capacity;
  }

  int size() {
    return size;
  }

  int capacity() {
    return capacity;
  }

  void clear() {
    size = 0;
  }

  void add(int handle, float number, long id) {
    int at = offset + Memory.next(size, capacity, "values") * Layout.VALUE;
    bytes.putInt(at + Layout.VALUE_FEATURE, handle);
    bytes.putFloat(at + Layout.VALUE_NUMBER, number);
    bytes.putLong(at + Layout.VALUE_ID, id);
    size++;
  }

  void addAll(int handle, float[] vector) {
    if (vector.length > capacity - size) {
      throw new IndexOutOfBoundsException(
          "no room for " + vector.length + " values more: " + size + " of " + capacity + " are taken");
    }
    for (int i = 0; i < vector.length; i++) {
      add(handle, vector[i], i);
    }
  }
}
