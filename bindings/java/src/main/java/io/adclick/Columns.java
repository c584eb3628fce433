package io.adclick;

import java.nio.ByteBuffer;

/**
 * Values of candidates in columns: handles once, then a block of ids and one of numbers, with a row for each candidate; so that no
 * handle is looked up for each value. Made once with its capacity, attached to candidates ({@link Candidates#columns}), and
 * filled for each request, which allocates nothing. One caller at a time.
 *
 * <p>A cell counts as a value that stands before the candidate's own: where an input takes one value, the last one counts. A
 * multi-valued category takes each as one more; a vector's positions are passed by values. Missing are numbers that are NaN, as
 * they are at first, and ids that equal {@link #missingId}; an id is 0 at first.
 */
public final class Columns {
  /** What the shim reads: counts, flags, the missing id, and the addresses of the arrays. */
  private static final int HEADER = 8 * Long.BYTES;

  private static final int MISSING_ID = 1;

  final ByteBuffer bytes;
  private final Memory memory;
  private final int capacity;
  private final int idColumns;
  private final int numberColumns;
  private final int ids;
  private final int numbers;

  /**
   * Columns of a model's inputs.
   *
   * @param maxCandidates room for so many candidates
   * @param idFeatures the handles of the columns of ids
   * @param numberFeatures the handles of the columns of numbers
   */
  public Columns(int maxCandidates, int[] idFeatures, int[] numberFeatures) {
    capacity = Memory.capacity(maxCandidates, "candidates");
    idColumns = idFeatures.length;
    numberColumns = numberFeatures.length;
    long handles = ((long) idColumns + numberColumns + 1) / 2 * 2 * Integer.BYTES;
    long idBytes = (long) capacity * idColumns * Long.BYTES;
    memory = new Memory(HEADER + handles + idBytes + (long) capacity * numberColumns * Float.BYTES);
    bytes = memory.bytes;
    ids = (int) (HEADER + handles);
    numbers = (int) (HEADER + handles + idBytes);
    for (int i = 0; i < idColumns; i++) {
      bytes.putInt(HEADER + i * Integer.BYTES, idFeatures[i]);
    }
    int second = HEADER + idColumns * Integer.BYTES;
    for (int i = 0; i < numberColumns; i++) {
      bytes.putInt(second + i * Integer.BYTES, numberFeatures[i]);
    }
    long[] header = {
      idColumns, numberColumns, 0, 0, memory.address + HEADER, memory.address + ids, memory.address + second,
      memory.address + numbers
    };
    for (int i = 0; i < header.length; i++) {
      bytes.putLong(i * Long.BYTES, header[i]);
    }
    for (int i = 0; i < capacity * numberColumns; i++) {
      bytes.putFloat(numbers + i * Float.BYTES, Float.NaN);
    }
  }

  /**
   * Says which id stands for none. Without a call, all ids are ids.
   *
   * @param id the id
   * @return this
   */
  public Columns missingId(long id) {
    bytes.putLong(2 * Long.BYTES, MISSING_ID);
    bytes.putLong(3 * Long.BYTES, id);
    return this;
  }

  /**
   * Puts an id into its cell.
   *
   * @param candidate the candidate's index, from 0
   * @param column the column's index among those of ids, from 0
   * @param id the id
   * @return this
   */
  public Columns id(int candidate, int column, long id) {
    int at = Memory.index(candidate, capacity, "candidate") * idColumns + Memory.index(column, idColumns, "column of ids");
    bytes.putLong(ids + at * Long.BYTES, id);
    return this;
  }

  /**
   * Puts a number into its cell.
   *
   * @param candidate the candidate's index, from 0
   * @param column the column's index among those of numbers, from 0
   * @param number the number; NaN = missing
   * @return this
   */
  public Columns number(int candidate, int column, float number) {
    int row = Memory.index(candidate, capacity, "candidate") * numberColumns;
    bytes.putFloat(numbers + (row + Memory.index(column, numberColumns, "column of numbers")) * Float.BYTES, number);
    return this;
  }

  /**
   * How many candidates there is room for.
   *
   * @return the number
   */
  public int capacity() {
    return capacity;
  }

  long address() {
    return memory.address;
  }
}
