package io.adclick;

import java.nio.ByteBuffer;

/** Room for the winners of an auction, best slot first. Made once, used again. One caller at a time. */
public final class Winners {
  final ByteBuffer bytes;
  private final Memory memory;
  private final int capacity;
  private final Winner cursor = new Winner(this);
  private int size;

  /**
   * No winners yet.
   *
   * @param maxWinners room for so many: at least the lesser of a request's slots and candidates
   */
  public Winners(int maxWinners) {
    capacity = Memory.capacity(maxWinners, "winners");
    memory = new Memory((long) capacity * Layout.WINNER);
    bytes = memory.bytes;
  }

  /**
   * How many winners the last successful call gave.
   *
   * @return the number
   */
  public int size() {
    return size;
  }

  /**
   * How many winners there is room for.
   *
   * @return the number
   */
  public int capacity() {
    return capacity;
  }

  /**
   * A winner.
   *
   * @param index its index, from 0, the best slot first
   * @return a view of it, which moves with the next {@code get}
   */
  public Winner get(int index) {
    return cursor.moveTo(Memory.index(index, size, "winner"));
  }

  long address() {
    return memory.address;
  }

  void size(int winners) {
    size = winners;
  }
}
