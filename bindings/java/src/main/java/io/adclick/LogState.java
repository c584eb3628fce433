package io.adclick;

/**
 * The state of an engine's log. Counters never go back.
 *
 * @param decisions decisions that are safe
 * @param slates slates that are safe
 * @param events events that are safe
 * @param lostDecisions decisions that were lost because a ring was full
 * @param lostSlates slates that were lost for that reason, or because they have more values than there is room for
 * @param lostEvents events that were lost because their ring was full
 * @param waiting records that wait in rings
 * @param bytes bytes of the records that are safe
 * @param segments segments closed
 * @param failures writes, syncs and renames that failed
 * @param lagMicros how long the oldest record has waited to be safe
 * @param recovered segments that had been left open and were closed
 */
public record LogState(
    long decisions, long slates, long events, long lostDecisions, long lostSlates, long lostEvents, long waiting, long bytes,
    long segments, long failures, long lagMicros, int recovered) {
  LogState(Frame frame) {
    this(
        frame.resultLong(Layout.LOG_STATE_DECISIONS),
        frame.resultLong(Layout.LOG_STATE_SLATES),
        frame.resultLong(Layout.LOG_STATE_EVENTS),
        frame.resultLong(Layout.LOG_STATE_LOST_DECISIONS),
        frame.resultLong(Layout.LOG_STATE_LOST_SLATES),
        frame.resultLong(Layout.LOG_STATE_LOST_EVENTS),
        frame.resultLong(Layout.LOG_STATE_WAITING),
        frame.resultLong(Layout.LOG_STATE_BYTES),
        frame.resultLong(Layout.LOG_STATE_SEGMENTS),
        frame.resultLong(Layout.LOG_STATE_FAILURES),
        frame.resultLong(Layout.LOG_STATE_LAG_US),
        frame.resultInt(Layout.LOG_STATE_RECOVERED));
  }
}
