package io.adclick;

import java.nio.ByteBuffer;

/**
 * The ads that could be shown, with their bids and values. Made once with its capacity, then cleared and filled for each
 * request, or kept and changed, which allocates nothing. One caller at a time.
 */
public final class Candidates {
  private static final byte[] ZEROS = new byte[Layout.CANDIDATE];

  final ByteBuffer bytes;
  final ValueArray values;
  private final Memory memory;
  private final long valuesAddress;
  private final int capacity;
  private final Candidate cursor = new Candidate(this);
  private int size;
  private Columns columns;

  /**
   * No candidates yet.
   *
   * @param maxCandidates room for so many candidates
   * @param maxValues room for so many values of features of all candidates together
   */
  public Candidates(int maxCandidates, int maxValues) {
    capacity = Memory.capacity(maxCandidates, "candidates");
    long candidateBytes = (long) capacity * Layout.CANDIDATE;
    memory = new Memory(candidateBytes + (long) Memory.capacity(maxValues, "values") * Layout.VALUE);
    bytes = memory.bytes;
    values = new ValueArray(bytes, (int) candidateBytes, maxValues);
    valuesAddress = memory.address + candidateBytes;
  }

  /**
   * Drops all candidates and their values.
   *
   * @return this
   */
  public Candidates clear() {
    size = 0;
    values.clear();
    return this;
  }

  /**
   * Adds a candidate in which everything else is 0.
   *
   * @param adKey the ad's key in ad tables; breaks ties (the smaller wins)
   * @return a view of it, which moves with the next {@code add} or {@link #get}
   * @throws IndexOutOfBoundsException when there is no room
   */
  public Candidate add(long adKey) {
    int at = Memory.next(size, capacity, "candidates") * Layout.CANDIDATE;
    bytes.put(at, ZEROS);
    bytes.putInt(at + Layout.CANDIDATE_FIRST_VALUE, values.size());
    size++;
    return cursor.moveTo(size - 1).adKey(adKey);
  }

  /**
   * A candidate, to be read or changed.
   *
   * @param index its index, from 0
   * @return a view of it, which moves with the next {@link #add} or {@code get}
   */
  public Candidate get(int index) {
    return cursor.moveTo(Memory.index(index, size, "candidate"));
  }

  /**
   * Sets the columns that hold values of these candidates beside their own: row i is candidate i's. They stay until others are
   * set, also over {@link #clear}.
   *
   * @param columns the columns, or null for none
   * @return this
   */
  public Candidates columns(Columns columns) {
    this.columns = columns;
    return this;
  }

  /**
   * How many candidates there are.
   *
   * @return the number
   */
  public int size() {
    return size;
  }

  /**
   * How many candidates there is room for.
   *
   * @return the number
   */
  public int capacity() {
    return capacity;
  }

  /**
   * How many values all candidates have together.
   *
   * @return the number
   */
  public int valueCount() {
    return values.size();
  }

  /**
   * How many values there is room for.
   *
   * @return the number
   */
  public int valueCapacity() {
    return values.capacity();
  }

  long address() {
    return memory.address;
  }

  /** 0 when there are none. */
  long columnsAddress() {
    if (columns == null) {
      return 0;
    }
    if (size > columns.capacity()) {
      throw new IllegalArgumentException(size + " candidates, and columns for " + columns.capacity());
    }
    return columns.address();
  }

  long valuesAddress() {
    return valuesAddress;
  }
}
