package io.adclick;

/** The functions of {@code adclick_jni.c}. Addresses and counts are checked before they come here. */
final class Native {
  /** Raised with every change of these functions; the library has its own. */
  static final int SHIM_VERSION = 5;

  static {
    NativeLibrary.load();
  }

  private Native() {}

  static native int shimVersion();

  static native int headerAbiVersion();

  static native int abiVersion();

  static native String version();

  static native String statusName(int status);

  static native String reasonName(int reason);

  static native String kernel(long engine);

  static native String layoutName(int i);

  static native long layoutValue(int i);

  static native long address(java.nio.ByteBuffer buffer);

  /** Hashes bytes of a direct buffer. */
  static native long hash(java.nio.ByteBuffer bytes, int from, int n);

  /** The key of 64-bit ids in a direct buffer; for the test that compares. */
  static native long key(java.nio.ByteBuffer ids, int n);

  static native int engineOpen(long path, int pathLength, long options, long frame);

  static native int engineClose(long engine);

  static native int engineCloseWithin(long engine, int timeoutMillis, long frame);

  static native int engineFollowState(long engine, long frame);

  static native int engineModel(long engine, long frame);

  static native int engineModelInput(long engine, int index, long frame);

  static native int engineInputError(long engine, long frame);

  static native int engineCheck(
      long engine, long request, long values, int nValues, long candidates, int nCandidates, long candidateValues,
      int nCandidateValues, long columns, long text, int room, long length, long frame);

  static native int engineRemoveRows(long engine, int table, long keys, int n, long frame);

  static native int engineClearRows(long engine, int table, long frame);

  static native int engineSwitch(long engine, int kind, long key, int reason, long frame);

  static native int engineSwitched(long engine, int kind, long key, long frame);

  static native int stagedGeneration(long staged, long frame);

  static native int engineStage(long engine, long path, int pathLength, long frame);

  static native int stagedActivate(long staged, long frame);

  static native int stagedDiscard(long staged);

  static native int engineRollback(long engine, long frame);

  static native int enginePoll(long engine, long frame);

  static native int engineFollowError(long engine, long frame);

  static native int enginePrecisionError(long engine, long frame);

  static native int engineAdCache(long engine, long frame);

  static native int engineGeneration(long engine, long frame);

  static native int engineFeature(long engine, long name, int nameLength, long frame);

  static native int engineTable(long engine, long name, int nameLength, long frame);

  static native int engineColumn(long engine, int table, long name, int nameLength, long frame);

  static native int engineTableInfo(long engine, int table, long frame);

  static native int engineMetrics(long engine, long text, int room, long frame);

  static native int engineUpsert(
      long engine, int flags, int table, long timeMicros, long rows, int nRows, long values, int nValues, long frame);

  static native int engineLogOpen(long engine, long directory, int length, long options, long frame);

  static native int engineLogDrain(long engine, long frame);

  static native int engineLogState(long engine, long frame);

  static native int engineLogError(long engine, long frame);

  static native int engineRecord(long engine, int kind, long event, long frame);

  static native int scorerNew(long engine, int maxCandidates, long frame);

  static native int scorerFree(long scorer);

  static native int score(
      long scorer, long request, long values, int nValues, long candidates, int nCandidates, long candidateValues,
      int nCandidateValues, long columns, long pctr, long pcvr, long frame);

  static native int scoreDense(long scorer, long x, int n, int width, long pctr, long pcvr, long frame);

  static native int decide(
      long scorer, long request, long values, int nValues, long candidates, int nCandidates, long candidateValues,
      int nCandidateValues, long columns, long winners, int maxWinners, long reasons, long frame);

  static native int explain(long scorer, int candidate, long frame);

  static native int auction(
      long scorer, long options, long candidates, long pctr, long pcvr, int n, long winners, int maxWinners,
      long reasons, long frame);
}
