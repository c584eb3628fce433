package io.adclick;

import java.nio.ByteBuffer;

/** What a scorer's last successful call did: a view of the scorer's memory, which its next call writes anew. */
public final class Outcome {
  private final ByteBuffer bytes;

  Outcome(Frame frame) {
    bytes = frame.memory.bytes;
  }

  /**
   * Winners written.
   *
   * @return the number
   */
  public int winners() {
    return bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_N_WINNERS);
  }

  /**
   * Candidates scored.
   *
   * @return the number
   */
  public int scored() {
    return bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_N_SCORED);
  }

  /**
   * Candidates that the deadline cut off.
   *
   * @return the number
   */
  public int cut() {
    return bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_N_CUT);
  }

  /**
   * Feature values that were missing or unknown and took their default, and values that the model has no use for.
   *
   * @return the number
   */
  public int missing() {
    return bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_N_MISSING);
  }

  /**
   * Of {@link #missing}, values passed with the request that the model reads with candidates, or the other way round:
   * {@link Engine#inputError} names their inputs.
   *
   * @return the number
   */
  public int wrongSide() {
    return bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_N_WRONG_SIDE);
  }

  /**
   * How exactly the request was computed.
   *
   * @return the precision
   */
  public Precision precision() {
    return Precision.of(bytes.getInt(Layout.FRAME_OUTCOME + Layout.OUTCOME_PRECISION));
  }

  /**
   * The generation that the whole call saw.
   *
   * @return its id
   */
  public long generation() {
    return bytes.getLong(Layout.FRAME_OUTCOME + Layout.OUTCOME_GENERATION);
  }
}
