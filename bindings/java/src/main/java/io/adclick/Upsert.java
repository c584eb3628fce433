package io.adclick;

/**
 * A batch of rows to write on top of a table ({@link Engine#upsert}), made once and used again. The values of one column
 * stand together in a row. One caller at a time.
 *
 * <pre>{@code
 * upsert.clear(users, Upsert.Mode.INCREMENT).row(user).number(clicks, 1);
 * engine.upsert(upsert);
 * }</pre>
 */
public final class Upsert {
  /** What becomes of what is there. */
  public enum Mode {
    /** The columns that are given are replaced and the others stay. */
    COLUMNS(0),
    /** The numbers are added to what the columns hold. */
    INCREMENT(Constants.UPSERT_INCREMENT),
    /** The rows are replaced as a whole; columns that are not given become missing. */
    WHOLE_ROW(Constants.UPSERT_WHOLE_ROW);

    final int flag;

    Mode(int flag) {
      this.flag = flag;
    }
  }

  final Frame frame = new Frame(0);
  private final Memory memory;
  private final ValueArray values;
  private final long valuesAddress;
  private final int maxRows;
  private int rows;
  private int table;
  private Mode mode = Mode.COLUMNS;
  private long timeMicros;

  /**
   * A batch without rows.
   *
   * @param maxRows room for so many rows
   * @param maxValues room for so many values in all rows together
   */
  public Upsert(int maxRows, int maxValues) {
    this.maxRows = Memory.capacity(maxRows, "rows");
    long rowBytes = (long) maxRows * Layout.ROW;
    memory = new Memory(rowBytes + (long) Memory.capacity(maxValues, "values") * Layout.VALUE);
    values = new ValueArray(memory.bytes, (int) rowBytes, maxValues);
    valuesAddress = memory.address + rowBytes;
  }

  /**
   * Begins a new batch.
   *
   * @param table the table's handle
   * @param mode what becomes of what is there
   * @return this
   */
  public Upsert clear(int table, Mode mode) {
    rows = 0;
    values.clear();
    this.table = table;
    this.mode = java.util.Objects.requireNonNull(mode, "mode");
    timeMicros = 0;
    return this;
  }

  /**
   * The table that the batch is for.
   *
   * @return its handle
   */
  public int table() {
    return table;
  }

  /**
   * When the values were right. An older write does not replace a newer one.
   *
   * @param micros microseconds since 1970-01-01 00:00 UTC, up to 2106; 0 = now by the system's clock
   * @return this
   */
  public Upsert timeMicros(long micros) {
    timeMicros = micros;
    return this;
  }

  /**
   * Begins a row. The values that are added next are its own.
   *
   * @param key the row's key, not 0; of a cross table what {@link Adclick#key(long, long)} makes of the ids
   * @return this
   */
  public Upsert row(long key) {
    int at = Memory.next(rows, maxRows, "rows") * Layout.ROW;
    memory.bytes.putLong(at + Layout.ROW_KEY, key);
    memory.bytes.putInt(at + Layout.ROW_FIRST_VALUE, values.size());
    memory.bytes.putInt(at + Layout.ROW_N_VALUES, 0);
    rows++;
    return this;
  }

  /**
   * Adds a number to the row.
   *
   * @param column the column's handle
   * @param number the number
   * @return this
   */
  public Upsert number(int column, float number) {
    return add(column, number, 0);
  }

  /**
   * Adds an id to the row: once for each id of a column that has many.
   *
   * @param column the column's handle
   * @param id the id
   * @return this
   */
  public Upsert id(int column, long id) {
    return add(column, 0, id);
  }

  /**
   * Adds a vector to the row.
   *
   * @param column the column's handle
   * @param numbers all of its positions
   * @return this
   */
  public Upsert vector(int column, float[] numbers) {
    lastRow();
    values.addAll(column, numbers);
    return counted();
  }

  /**
   * How many rows the batch has.
   *
   * @return the number
   */
  public int size() {
    return rows;
  }

  /**
   * After {@link Engine#upsert}: rows of which at least one column was written.
   *
   * @return the number
   */
  public int applied() {
    return frame.resultInt(Layout.UPSERT_RESULT_N_APPLIED);
  }

  /**
   * After {@link Engine#upsert}: rows of which at least one column was not written, because what is there, or the table
   * itself, is newer.
   *
   * @return the number
   */
  public int stale() {
    return frame.resultInt(Layout.UPSERT_RESULT_N_STALE);
  }

  /**
   * After {@link Engine#upsert}: rows of other keys that made room.
   *
   * @return the number
   */
  public int evicted() {
    return frame.resultInt(Layout.UPSERT_RESULT_N_EVICTED);
  }

  int run(long engine) {
    return Native.engineUpsert(
        engine, mode.flag, table, timeMicros, memory.address, rows, valuesAddress, values.size(), frame.address());
  }

  private Upsert add(int column, float number, long id) {
    lastRow();
    values.add(column, number, id);
    return counted();
  }

  private int lastRow() {
    if (rows == 0) {
      throw new IllegalStateException("values belong to a row: begin one");
    }
    return (rows - 1) * Layout.ROW;
  }

  private Upsert counted() {
    int at = lastRow();
    memory.bytes.putInt(at + Layout.ROW_N_VALUES, values.size() - memory.bytes.getInt(at + Layout.ROW_FIRST_VALUE));
    return this;
  }
}
