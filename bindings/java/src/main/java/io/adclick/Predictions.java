package io.adclick;

/**
 * Probabilities of candidates: what {@link Scorer#score} gives, and {@link Scorer#auction} takes. Made once, used again. One caller at
 * a time.
 */
public final class Predictions {
  private final Memory memory;
  private final int capacity;
  private int size;

  /**
   * No predictions yet.
   *
   * @param maxCandidates room for those of so many candidates
   */
  public Predictions(int maxCandidates) {
    capacity = Memory.capacity(maxCandidates, "predictions");
    memory = new Memory((long) capacity * Float.BYTES * 2);
  }

  /**
   * Drops all predictions.
   *
   * @return this
   */
  public Predictions clear() {
    size = 0;
    return this;
  }

  /**
   * Adds the prediction of the next candidate, for an auction of probabilities that the caller has.
   *
   * @param pctr P(click | impression)
   * @param pcvr P(conversion | click); NaN when it is missing
   * @return this
   */
  public Predictions add(float pctr, float pcvr) {
    int at = Memory.next(size, capacity, "predictions") * Float.BYTES;
    memory.bytes.putFloat(at, pctr);
    memory.bytes.putFloat(capacity * Float.BYTES + at, pcvr);
    size++;
    return this;
  }

  /**
   * Calibrated P(click | impression).
   *
   * @param candidate the candidate's (or row's) index
   * @return the probability; NaN when the model has no such head, or the candidate's logit overflowed
   */
  public float pctr(int candidate) {
    return memory.bytes.getFloat(Memory.index(candidate, size, "prediction") * Float.BYTES);
  }

  /**
   * Calibrated P(conversion | click).
   *
   * @param candidate the candidate's (or row's) index
   * @return the probability; NaN when the model has no such head
   */
  public float pcvr(int candidate) {
    return memory.bytes.getFloat((capacity + Memory.index(candidate, size, "prediction")) * Float.BYTES);
  }

  /**
   * How many predictions there are.
   *
   * @return the number
   */
  public int size() {
    return size;
  }

  /**
   * How many predictions there is room for.
   *
   * @return the number
   */
  public int capacity() {
    return capacity;
  }

  long pctrAddress() {
    return memory.address;
  }

  long pcvrAddress() {
    return memory.address + (long) capacity * Float.BYTES;
  }

  void size(int candidates) {
    size = candidates;
  }
}
