package io.adclick;

/**
 * What became of an engine's generations. Counters never go back, so that a change tells of what happened since they were read.
 *
 * @param follows whether a thread of the library's own looks at CURRENT
 * @param generation the live generation
 * @param activatedMicros when it became live here: microseconds since 1970-01-01 00:00 UTC
 * @param lookedMicros when CURRENT was last looked at; 0 = never
 * @param looks looks at CURRENT, by {@link Engine#poll} too
 * @param failedLooks of them, those that failed; {@link Engine#followError} says why the last one did
 * @param activations generations that became live after the first
 * @param rollbacks returns to the generation before
 */
public record FollowState(
    boolean follows, long generation, long activatedMicros, long lookedMicros, long looks, long failedLooks,
    long activations, long rollbacks) {
  FollowState(Frame frame) {
    this(
        frame.resultInt(Layout.FOLLOW_STATE_FOLLOWS) != 0,
        frame.resultLong(Layout.FOLLOW_STATE_GENERATION),
        frame.resultLong(Layout.FOLLOW_STATE_ACTIVATED_US),
        frame.resultLong(Layout.FOLLOW_STATE_LOOKED_US),
        frame.resultLong(Layout.FOLLOW_STATE_LOOKS),
        frame.resultLong(Layout.FOLLOW_STATE_FAILED_LOOKS),
        frame.resultLong(Layout.FOLLOW_STATE_ACTIVATIONS),
        frame.resultLong(Layout.FOLLOW_STATE_ROLLBACKS));
  }
}
