package io.adclick;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * An engine owns the live generation: model, calibrators, tables and auction policy. It is shared: every call may be made from any
 * thread at any time, also while another thread closes it. Calls here take locks and some read files, so none of them
 * belongs on a request's path; {@link Scorer} has those.
 */
public final class Engine implements AutoCloseable {
  private static final int METRICS = 32 << 10;
  private static final int METRICS_SLACK = 4 << 10;

  private final Handle handle;
  private final Cleaner.Cleanable cleanable;
  private final Calls calls;

  private Engine(long engine) {
    handle = new Handle(engine, "engine was closed", Native::engineClose);
    cleanable = Handle.CLEANER.register(this, handle);
    calls = new Calls(handle);
  }

  /**
   * Opens an engine with the default options.
   *
   * @param path a bundle directory, or a directory that holds bundles and CURRENT
   * @return the engine, to be closed
   * @throws AdclickException when the bundle cannot be read, is damaged, or cannot be served here
   */
  public static Engine open(Path path) {
    return open(path, new EngineOptions());
  }

  /**
   * Opens an engine. The bundle is checked whole (manifest, checksums, every shape and count, golden requests) before the
   * call returns.
   *
   * @param path a bundle directory, or a directory that holds bundles and CURRENT
   * @param options how
   * @return the engine, to be closed
   * @throws AdclickException when the bundle cannot be read, is damaged, or cannot be served here, or an option is out of
   *     range
   */
  public static Engine open(Path path, EngineOptions options) {
    byte[] name = Calls.bytes(path);
    Frame frame = new Frame(name.length);
    frame.text(name);
    int status = Native.engineOpen(frame.textAddress(), name.length, options.address(), frame.address());
    Reference.reachabilityFence(options);
    if (status != 0) {
      throw frame.failure(status);
    }
    Engine engine = new Engine(frame.number());
    Reference.reachabilityFence(frame);
    return engine;
  }

  /**
   * The handle of a feature's input name, for the values of requests and candidates. It is good for the engine's life,
   * whichever generation is live: get handles once, at start. A name that no model uses gets one too; its values are
   * ignored, and counted in {@link Outcome#missing}, until a model does.
   *
   * @param name the name, 1 to 255 bytes as UTF-8
   * @return the handle, never 0
   */
  public int feature(String name) {
    return (int)
        calls.call(this, Calls.utf8(name),
            (engine, frame, length) -> Native.engineFeature(engine, frame.textAddress(), length, frame.address()));
  }

  /**
   * The handle of a table's name, for {@link Upsert#table} and {@link #column}. It lasts as those of features do.
   *
   * @param name the name, 1 to 255 bytes as UTF-8
   * @return the handle, never 0
   */
  public int table(String name) {
    return (int)
        calls.call(this, Calls.utf8(name),
            (engine, frame, length) -> Native.engineTable(engine, frame.textAddress(), length, frame.address()));
  }

  /**
   * The handle of a column of a table, for the values of {@link Upsert}. It lasts as those of features do.
   *
   * @param table the table's handle
   * @param name the name, 1 to 255 bytes as UTF-8
   * @return the handle, never 0
   */
  public int column(int table, String name) {
    return (int)
        calls.call(
            this,
            Calls.utf8(name),
            (engine, frame, length) -> Native.engineColumn(engine, table, frame.textAddress(), length, frame.address()));
  }

  /**
   * Makes a scorer. All memory that its requests need is allocated here, none later.
   *
   * @param maxCandidates candidates of one request, 1 to 1,048,576; 0 for the default, 1024
   * @return the scorer, to be closed
   */
  public Scorer newScorer(int maxCandidates) {
    if (maxCandidates < 0) {
      throw new IllegalArgumentException("a scorer for " + maxCandidates + " candidates");
    }
    return new Scorer(
        this, calls.call(this, Calls.NO_TEXT,
            (engine, frame, length) -> Native.scorerNew(engine, maxCandidates, frame.address())));
  }

  /**
   * Opens and checks a bundle, as {@link #open(Path)} does, without making it live. What is live stays as it is, also on failure.
   *
   * @param path a bundle directory, or a directory that holds bundles and CURRENT
   * @return the staged generation, to be activated or closed
   * @throws AdclickException when the bundle cannot be read, is damaged, cannot be served here, or is larger than the
   *     engine's headroom allows
   */
  public Staged stage(Path path) {
    return new Staged(
        this,
        calls.call(this, Calls.bytes(path),
            (engine, frame, length) -> Native.engineStage(engine, frame.textAddress(), length, frame.address())));
  }

  /**
   * Looks at CURRENT now and goes to the bundle that it names, if that is another than at the last look. Also frees
   * replaced generations that no call holds any more.
   *
   * @return the id of the generation that was activated, 0 when there is nothing new
   * @throws AdclickException as {@link #stage}; also when the engine was opened on a bundle itself
   */
  public long poll() {
    return calls.call(this, Calls.NO_TEXT, (engine, frame, length) -> Native.enginePoll(engine, frame.address()));
  }

  /**
   * Goes back to the generation before the last activation, of which one is kept.
   *
   * @return the id of what is live now
   * @throws AdclickException with {@link Status#NO_PREVIOUS} when there is none
   */
  public long rollback() {
    return calls.call(this, Calls.NO_TEXT, (engine, frame, length) -> Native.engineRollback(engine, frame.address()));
  }

  /**
   * The live generation. Of one request, {@link Outcome#generation} tells it.
   *
   * @return its id: the hash of its bundle's content, never 0, the same on every machine
   */
  public long generation() {
    return calls.call(this, Calls.NO_TEXT, (engine, frame, length) -> Native.engineGeneration(engine, frame.address()));
  }

  /**
   * Why the last look at CURRENT failed, for the health check of a server that follows. What is live serves on, and the next look
   * tries again.
   *
   * @return the failure, or nothing when it did not fail
   * @throws IllegalStateException when the engine was closed
   */
  public Optional<AdclickException> followError() {
    return calls.told(this, (engine, frame, length) -> Native.engineFollowError(engine, frame.address()));
  }

  /**
   * Why the live generation is served in {@link Precision#EXACT} although another precision was asked for, by
   * {@link EngineOptions#precision} or by the bundle. Of one request, {@link Outcome#precision} tells what it was computed in.
   *
   * @return the reason, with {@link Status#UNSUPPORTED}; or nothing when it is served as asked for
   * @throws IllegalStateException when the engine was closed
   */
  public Optional<AdclickException> precisionError() {
    return calls.told(this, (engine, frame, length) -> Native.enginePrecisionError(engine, frame.address()));
  }

  /**
   * The inputs of which requests passed values with the wrong side since the live generation was opened. Such values are ignored.
   * For the health check of a server.
   *
   * @return their names, with {@link Status#INVALID_VALUE}; or nothing when there are none
   * @throws IllegalStateException when the engine was closed
   */
  public Optional<AdclickException> inputError() {
    return calls.told(this, (engine, frame, length) -> Native.engineInputError(engine, frame.address()));
  }

  /**
   * The live model in figures.
   *
   * @return the numbers of now
   */
  public Model model() {
    return calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineModel(engine, frame.address()), Model::new);
  }

  /**
   * What the live model reads: under which names values are passed, with the request or with candidates, what they are, and where they
   * come from when they are not passed. Values that are passed win over tables.
   *
   * @return the inputs, in the schema's order
   */
  public List<ModelInput> inputs() {
    while (true) {
      Model model = model();
      List<ModelInput> all = new ArrayList<>(model.inputs());
      try {
        for (int i = 0; i < model.inputs(); i++) {
          int index = i;
          ModelInput input =
              calls.call(
            this,
                  Calls.NO_TEXT,
                  (engine, frame, length) -> Native.engineModelInput(engine, index, frame.address()),
                  frame ->
                      frame.resultLong(Layout.MODEL_INPUT_GENERATION) == model.generation() ? new ModelInput(frame) : null);
          if (input == null) {
            break;
          }
          all.add(input);
        }
      } catch (AdclickException e) {
        if (e.status() != Status.INVALID_ARGUMENT) {
          throw e;
        }
      }
      // Otherwise another generation went live, with other inputs.
      if (all.size() == model.inputs()) {
        return all;
      }
    }
  }

  /**
   * Tells what is wrong with a request for the live model. A server asks once, at start, with a request as it makes them: scoring only
   * counts what it has no use for ({@link Outcome#missing}, {@link Outcome#wrongSide}), because requests must outlive a swap to a
   * model that reads other inputs. Faults of the request are no failure of the call.
   *
   * @param request the request
   * @param candidates its candidates
   * @return what was found
   * @throws AdclickException when scoring would refuse the request
   */
  public Check check(Request request, Candidates candidates) {
    long columns = candidates.columnsAddress();
    Frame frame = calls.take(Calls.NO_TEXT);
    try {
      int room = Calls.TEXT;
      while (true) {
        Memory text = new Memory((long) room + Long.BYTES);
        int status =
            Native.engineCheck(
                handle.get(), request.address(), request.valuesAddress(), request.valueCount(), candidates.address(),
                candidates.size(), candidates.valuesAddress(), candidates.valueCount(), columns, text.address + Long.BYTES,
                room, text.address, frame.address());
        int length = Math.toIntExact(text.bytes.getLong(0));
        if (status == Status.BUFFER_TOO_SMALL.code()) {
          room = length;
          continue;
        }
        if (status != 0) {
          throw frame.failure(status);
        }
        byte[] bytes = new byte[length];
        text.bytes.get(Long.BYTES, bytes);
        Reference.reachabilityFence(text);
        return new Check(frame, new String(bytes, StandardCharsets.UTF_8));
      }
    } finally {
      calls.giveBack(frame);
      Reference.reachabilityFence(request);
      Reference.reachabilityFence(candidates);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * What following came to so far. Look now and then; nothing calls back.
   *
   * @return the numbers of now
   */
  public FollowState followState() {
    return calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineFollowState(engine, frame.address()), FollowState::new);
  }

  /**
   * Begins to log what the engine decides and the events that it is told. Scorers that exist log from now on, too. An engine has one log
   * in its life; {@link #close} ends it.
   *
   * @param directory where; it is made when it is not there
   * @param options how
   */
  public void openLog(Path directory, LogOptions options) {
    try {
      calls.call(this, Calls.bytes(directory), (engine, frame, length) ->
          Native.engineLogOpen(engine, frame.textAddress(), length, options.memory.address, frame.address()));
    } finally {
      Reference.reachabilityFence(options);
    }
  }

  /** Writes and syncs all that waits in the log. With {@link LogOptions#noThread} call it often. */
  public void drainLog() {
    calls.call(this, Calls.NO_TEXT, (engine, frame, length) -> Native.engineLogDrain(engine, frame.address()));
  }

  /**
   * The state of the log.
   *
   * @return the numbers of now
   */
  public LogState logState() {
    return calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineLogState(engine, frame.address()), LogState::new);
  }

  /**
   * Why the last write or sync of the log failed.
   *
   * @return the failure; empty when it did not fail
   */
  public Optional<AdclickException> logError() {
    return calls.told(this, (engine, frame, length) -> Native.engineLogError(engine, frame.address()));
  }

  /**
   * Records what came of a decision. It is counted, and logged if there is a log, in any case.
   *
   * @param kind what happened
   * @param event its fields
   * @return what is wrong with it, as far as one server can see at once
   */
  public Event.Seen record(Event.Kind kind, Event event) {
    try {
      return new Event.Seen((int) calls.call(this, Calls.NO_TEXT, (engine, frame, length) ->
          Native.engineRecord(engine, kind.ordinal(), event.memory.address, frame.address())));
    } finally {
      Reference.reachabilityFence(event);
    }
  }

  /**
   * The ad cache of the live generation, or what it would take: also of an engine that has none.
   *
   * @return the numbers of now
   */
  public AdCache adCache() {
    return calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineAdCache(engine, frame.address()), AdCache::new);
  }

  /**
   * Writes rows on top of a table of the live generation. Requests that begin afterwards see them; those under way may. All rows are
   * checked before the first is written; then each appears whole, one by one, in order.
   *
   * @param upsert the rows; afterwards it also says what became of them
   * @throws AdclickException with the row's and the value's index; then nothing was written
   */
  public void upsert(Upsert upsert) {
    try {
      int status = upsert.run(handle.get());
      if (status != 0) {
        throw upsert.frame.failure(status);
      }
    } finally {
      Reference.reachabilityFence(upsert);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Takes rows off a table of the live generation that were written on top of it. What the table itself holds counts again for
   * requests that begin afterwards.
   *
   * @param table the table's handle
   * @param keys the rows' keys; those without such a row do no harm
   * @return how many rows there were
   */
  public long removeRows(int table, long... keys) {
    Memory memory = new Memory(Math.max(1L, keys.length) * Long.BYTES);
    for (int i = 0; i < keys.length; i++) {
      memory.bytes.putLong(i * Long.BYTES, keys[i]);
    }
    try {
      return calls.call(
            this,
          Calls.NO_TEXT,
          (engine, frame, length) ->
              Native.engineRemoveRows(engine, table, memory.address, keys.length, frame.address()));
    } finally {
      Reference.reachabilityFence(memory);
    }
  }

  /**
   * Takes all rows off a table, as {@link #removeRows}. Rows that are written meanwhile may stay.
   *
   * @param table the table's handle
   * @return how many rows there were
   */
  public long clearRows(int table) {
    return calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineClearRows(engine, table, frame.address()));
  }

  /**
   * Turns an ad, a campaign or an advertiser off in decisions. Every decision that begins after this call returned sees it, on any
   * thread, and it outlives new generations; a new engine begins with everything on. A candidate that is off loses for
   * {@link Reason#SWITCHED_OFF}.
   *
   * @param kind which
   * @param key its key, as candidates have it; not 0
   * @param reason the caller's own number of why, not 0: 1 = the budget is spent, say
   * @throws AdclickException with {@link Status#CAPACITY_EXCEEDED} when {@link EngineOptions#switchKeys} of the kind are off; this one
   *     stays on
   */
  public void switchOff(SwitchKind kind, long key, int reason) {
    if (reason == 0) {
      throw new IllegalArgumentException("a reason of 0, which turns on: use switchOn");
    }
    calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineSwitch(engine, kind.code(), key, reason, frame.address()));
  }

  /**
   * Turns an ad, a campaign or an advertiser on again. What is on already stays on.
   *
   * @param kind which
   * @param key its key, as candidates have it; not 0
   */
  public void switchOn(SwitchKind kind, long key) {
    calls.call(this, Calls.NO_TEXT,
        (engine, frame, length) -> Native.engineSwitch(engine, kind.code(), key, 0, frame.address()));
  }

  /**
   * Why an ad, a campaign or an advertiser is off.
   *
   * @param kind which
   * @param key its key, as candidates have it
   * @return the reason that {@link #switchOff} was given; 0: it is on
   */
  public int switched(SwitchKind kind, long key) {
    return (int)
        calls.call(this, Calls.NO_TEXT,
            (engine, frame, length) -> Native.engineSwitched(engine, kind.code(), key, frame.address()));
  }

  /**
   * A table of the live generation and what was written on top of it.
   *
   * @param table the table's handle
   * @return the numbers of now
   * @throws AdclickException when the live generation has no such table
   */
  public TableInfo tableInfo(int table) {
    return calls.call(
            this,
        Calls.NO_TEXT, (engine, frame, length) -> Native.engineTableInfo(engine, table, frame.address()), TableInfo::new);
  }

  /**
   * All metrics of the engine at this moment, in Prometheus' text exposition format 0.0.4, for the answer to
   * {@code GET /metrics}. Stops nobody: requests are counted on.
   *
   * @return the text, in UTF-8
   */
  public byte[] metrics() {
    return metrics(METRICS);
  }

  byte[] metrics(int firstRoom) {
    Frame frame = calls.take(Calls.NO_TEXT);
    try {
      int room = firstRoom;
      while (true) {
        Memory text = new Memory(room);
        int status = Native.engineMetrics(handle.get(), text.address, room, frame.address());
        int length = Math.toIntExact(frame.number());
        if (status == Status.BUFFER_TOO_SMALL.code()) {
          // It grows with the numbers in it: the next time it may be a little longer.
          room = Math.addExact(length, METRICS_SLACK);
          continue;
        }
        if (status != 0) {
          throw frame.failure(status);
        }
        byte[] bytes = new byte[length];
        text.bytes.get(0, bytes);
        Reference.reachabilityFence(text);
        return bytes;
      }
    } finally {
      calls.giveBack(frame);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * The kernel (instruction set) that this engine uses.
   *
   * @return "avx512", "avx2" or "portable"
   */
  public String kernel() {
    try {
      return Native.kernel(handle.get());
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Whether it was closed.
   *
   * @return true from the moment that close begins
   */
  public boolean isClosed() {
    return handle.isClosed();
  }

  /**
   * Closes the engine; again does nothing. It is safe at any time: calls under way on its scorers end well, and calls that
   * begin afterwards, on the engine or its scorers, throw {@link IllegalStateException}. Waits for the following thread, and up to a
   * second for calls under way. Its scorers and staged generations still have to be closed, before or after.
   */
  @Override
  public void close() {
    cleanable.clean();
  }

  /**
   * Closes the engine in at most so long. It is closed in any case; what goes on after that time ends by itself. Closing again
   * does nothing.
   *
   * @param millis the most to wait
   * @throws AdclickException with {@link Status#BUSY} when something goes on after that time, and what: the following thread in the
   *     middle of a bundle, or calls under way
   */
  public void closeWithin(int millis) {
    if (millis < 0) {
      throw new IllegalArgumentException(millis + " milliseconds");
    }
    if (handle.isClosed()) {
      return;
    }
    long engine = handle.take();
    Frame frame = new Frame(0);
    try {
      int status = Native.engineCloseWithin(engine, millis, frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
    } finally {
      cleanable.clean();
      Reference.reachabilityFence(frame);
      Reference.reachabilityFence(this);
    }
  }
}
