package io.adclick;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A direct buffer in native order and its address, which is good as long as this object is reachable. */
final class Memory {
  private static final int ALIGNMENT = 8;

  final ByteBuffer bytes;
  final long address;

  Memory(long size) {
    if (size > Integer.MAX_VALUE - ALIGNMENT) {
      throw new IllegalArgumentException(size + " bytes: a buffer has up to 2 GiB");
    }
    // alignedSlice needs a buffer of one alignment more at least.
    bytes = ByteBuffer.allocateDirect((int) size + ALIGNMENT).alignedSlice(ALIGNMENT).order(ByteOrder.nativeOrder());
    address = Native.address(bytes);
    if (address == 0) {
      throw new UnsupportedOperationException("this Java virtual machine gives native code no access to direct buffers");
    }
  }

  static int capacity(int capacity, String what) {
    if (capacity < 0) {
      throw new IllegalArgumentException("a capacity of " + capacity + " " + what);
    }
    return capacity;
  }

  /** For an index of an entry that is there. */
  static int index(int index, int size, String what) {
    if (index < 0 || index >= size) {
      throw new IndexOutOfBoundsException(what + " " + index + " of " + size);
    }
    return index;
  }

  /** For an entry to be added. */
  static int next(int size, int capacity, String what) {
    if (size >= capacity) {
      throw new IndexOutOfBoundsException("no room for more than " + capacity + " " + what + ": make the buffer larger");
    }
    return size;
  }
}
