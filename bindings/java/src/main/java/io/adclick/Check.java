package io.adclick;

/**
 * What {@link Engine#check} found: how many values, or for the last two requests and candidates, have each fault.
 *
 * @param generation the generation that the request was checked against
 * @param text a line for each fault of each input, by name, errors first
 * @param problems lines of {@code text}
 * @param errors of them, errors: faults of the next five kinds. Serve no traffic before there are none
 * @param unknown values that the model does not read at all
 * @param wrongSide values that it reads from the other side
 * @param wrongKind ids where a number is read, or numbers where an id is
 * @param outOfRange positions that a vector does not have
 * @param notFinite values that are NaN or infinite
 * @param neverRead values of times and fixed positions; these and the following may be as they should
 * @param unknownIds ids that the model does not know
 * @param repeated values more than one of an input that reads one
 * @param missing inputs that nobody gives, summed over the request and its candidates
 * @param noKey ids of 0 in the keys of tables
 */
public record Check(
    long generation, String text, int problems, int errors, int unknown, int wrongSide, int wrongKind, int outOfRange,
    int notFinite, int neverRead, int unknownIds, int repeated, int missing, int noKey) {
  Check(Frame frame, String text) {
    this(
        frame.resultLong(Layout.CHECK_GENERATION),
        text,
        frame.resultInt(Layout.CHECK_N_PROBLEMS),
        frame.resultInt(Layout.CHECK_N_ERRORS),
        frame.resultInt(Layout.CHECK_N_UNKNOWN),
        frame.resultInt(Layout.CHECK_N_WRONG_SIDE),
        frame.resultInt(Layout.CHECK_N_WRONG_KIND),
        frame.resultInt(Layout.CHECK_N_OUT_OF_RANGE),
        frame.resultInt(Layout.CHECK_N_NOT_FINITE),
        frame.resultInt(Layout.CHECK_N_NEVER_READ),
        frame.resultInt(Layout.CHECK_N_UNKNOWN_IDS),
        frame.resultInt(Layout.CHECK_N_REPEATED),
        frame.resultInt(Layout.CHECK_N_MISSING),
        frame.resultInt(Layout.CHECK_N_NO_KEY));
  }
}
