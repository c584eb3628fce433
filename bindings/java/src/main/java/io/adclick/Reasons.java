package io.adclick;

/** Room for what became of each candidate, for callers who want to know it. Made once, used again. One caller at a time. */
public final class Reasons {
  private final Memory memory;
  private final int capacity;
  private int size;

  /**
   * No reasons yet.
   *
   * @param maxCandidates room for the reasons of so many candidates
   */
  public Reasons(int maxCandidates) {
    capacity = Memory.capacity(maxCandidates, "reasons");
    memory = new Memory((long) capacity * Integer.BYTES);
  }

  /**
   * What became of a candidate in the last successful call.
   *
   * @param candidate its index in {@link Candidates}
   * @return the reason
   */
  public Reason get(int candidate) {
    return Reason.of(code(candidate));
  }

  /**
   * As {@link #get}, as the C ABI's number, which also tells reasons apart that these classes do not know.
   *
   * @param candidate its index in {@link Candidates}
   * @return the number
   */
  public int code(int candidate) {
    return memory.bytes.getInt(Memory.index(candidate, size, "reason") * Integer.BYTES);
  }

  /**
   * How many candidates the last successful call had.
   *
   * @return the number
   */
  public int size() {
    return size;
  }

  /**
   * How many reasons there is room for.
   *
   * @return the number
   */
  public int capacity() {
    return capacity;
  }

  long address() {
    return memory.address;
  }

  void size(int candidates) {
    size = candidates;
  }
}
