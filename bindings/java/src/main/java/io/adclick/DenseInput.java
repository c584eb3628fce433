package io.adclick;

import java.nio.FloatBuffer;
import java.util.Objects;

/**
 * Ready model inputs for {@link Scorer#scoreDense}: rows of floats, columns in the order in which the schema declares its
 * features. Made once, used again. One caller at a time.
 */
public final class DenseInput {
  private final Memory memory;
  private final FloatBuffer floats;
  private final int capacity;
  private final int width;
  private int rows;

  /**
   * No rows yet.
   *
   * @param maxRows room for so many rows
   * @param width columns of a row
   */
  public DenseInput(int maxRows, int width) {
    capacity = Memory.capacity(maxRows, "rows");
    this.width = Memory.capacity(width, "columns");
    memory = new Memory(Math.multiplyExact((long) maxRows * width, Float.BYTES));
    floats = memory.bytes.asFloatBuffer();
  }

  /**
   * Sets how many rows there are. Rows keep what was written to them before.
   *
   * @param rows the number, up to the capacity
   * @return this
   */
  public DenseInput rows(int rows) {
    if (rows < 0 || rows > capacity) {
      throw new IndexOutOfBoundsException(rows + " rows: there is room for " + capacity);
    }
    this.rows = rows;
    return this;
  }

  /**
   * How many rows there are.
   *
   * @return the number
   */
  public int rows() {
    return rows;
  }

  /**
   * How many columns a row has.
   *
   * @return the number
   */
  public int width() {
    return width;
  }

  /**
   * Sets one input.
   *
   * @param row its row
   * @param column its column
   * @param value its value
   * @return this
   */
  public DenseInput set(int row, int column, float value) {
    floats.put(Memory.index(row, rows, "row") * width + Memory.index(column, width, "column"), value);
    return this;
  }

  /**
   * Sets the inputs of one row.
   *
   * @param row the row
   * @param values an array with its inputs
   * @param from where they begin in it
   * @return this
   */
  public DenseInput set(int row, float[] values, int from) {
    Objects.checkFromIndexSize(from, width, values.length);
    floats.put(Memory.index(row, rows, "row") * width, values, from, width);
    return this;
  }

  long address() {
    return memory.address;
  }
}
