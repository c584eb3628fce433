package io.adclick;

/**
 * A table of the live generation and what was written on top of it.
 *
 * @param shards files of the table that the bundle has
 * @param rows rows of these files
 * @param builtMicros when the oldest of them was built: microseconds since 1970-01-01 00:00 UTC
 * @param freshForSeconds for how many seconds the table is fresh; 0 = no limit
 * @param overlayRows rows written on top of the table, those that count no longer included
 * @param overlayCapacity rows that were asked for; 0 = the engine has no overlays
 * @param overlayEvictions rows that made room for others so far
 * @param overlayBytes bytes reserved for what is written on top of the table
 */
public record TableInfo(
    int shards,
    long rows,
    long builtMicros,
    long freshForSeconds,
    long overlayRows,
    long overlayCapacity,
    long overlayEvictions,
    long overlayBytes) {
  TableInfo(Frame frame) {
    this(
        frame.resultInt(Layout.TABLE_INFO_N_SHARDS),
        frame.resultLong(Layout.TABLE_INFO_ROWS),
        frame.resultLong(Layout.TABLE_INFO_BUILT_US),
        frame.resultLong(Layout.TABLE_INFO_FRESH_FOR_S),
        frame.resultLong(Layout.TABLE_INFO_OVERLAY_ROWS),
        frame.resultLong(Layout.TABLE_INFO_OVERLAY_CAPACITY),
        frame.resultLong(Layout.TABLE_INFO_OVERLAY_EVICTIONS),
        frame.resultLong(Layout.TABLE_INFO_OVERLAY_BYTES));
  }
}
