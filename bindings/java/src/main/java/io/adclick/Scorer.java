package io.adclick;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;

/**
 * A scorer: one caller's memory, sized once. {@link #score}, {@link #scoreDense}, {@link #decide} and {@link #auction} are
 * one native call each, which allocates nothing, takes no lock and makes no system call, and allocate nothing here either.
 *
 * <p>One caller at a time, on any thread. A call while another one is under way throws {@link IllegalStateException}. So
 * does every call after {@link #close}, or (but for {@link #auction}) after the engine was closed.
 */
public final class Scorer implements AutoCloseable {
  private final Engine engine;
  private final State state;
  private final Cleaner.Cleanable cleanable;
  private final Frame frame = new Frame(0);
  private final Outcome outcome = new Outcome(frame);
  private final Explanation explanation = new Explanation(frame);

  Scorer(Engine engine, long scorer) {
    // Kept, so that an engine is not taken for unreachable while its scorers serve.
    this.engine = engine;
    state = new State(scorer);
    cleanable = Handle.CLEANER.register(this, state);
  }

  /**
   * Calibrated probabilities of all candidates of a request. Slots, deadline and bids play no part.
   *
   * @param request the request
   * @param candidates its candidates
   * @param predictions takes one prediction for each candidate
   * @return what the call did; good until this scorer's next call
   * @throws AdclickException when an input is NaN or infinite, or there are more candidates than the scorer was made for
   */
  public Outcome score(Request request, Candidates candidates, Predictions predictions) {
    int n = candidates.size();
    requireRoom(n, predictions.capacity(), "predictions");
    long columns = candidates.columnsAddress();
    long scorer = state.enter();
    try {
      int status =
          Native.score(
              scorer, request.address(), request.valuesAddress(), request.valueCount(), candidates.address(), n,
              candidates.valuesAddress(), candidates.valueCount(), columns, predictions.pctrAddress(), predictions.pcvrAddress(),
              frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      predictions.size(n);
      return outcome;
    } finally {
      state.leave();
      Reference.reachabilityFence(request);
      Reference.reachabilityFence(candidates);
      Reference.reachabilityFence(predictions);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Calibrated probabilities of ready inputs.
   *
   * @param input the inputs, as wide as the model
   * @param predictions takes one prediction for each row
   * @return what the call did; good until this scorer's next call
   * @throws AdclickException when an input is NaN or infinite, the width is not the model's, the model has a wide part, or
   *     there are more rows than the scorer was made for
   */
  public Outcome scoreDense(DenseInput input, Predictions predictions) {
    int n = input.rows();
    requireRoom(n, predictions.capacity(), "predictions");
    long scorer = state.enter();
    try {
      int status =
          Native.scoreDense(
              scorer, input.address(), n, input.width(), predictions.pctrAddress(), predictions.pcvrAddress(),
              frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      predictions.size(n);
      return outcome;
    } finally {
      state.leave();
      Reference.reachabilityFence(input);
      Reference.reachabilityFence(predictions);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * The whole path: scores the candidates, calibrates, runs the auction by the generation's policy, and gives the winners.
   *
   * @param request the request
   * @param candidates its candidates
   * @param winners takes the winners: room for at least the lesser of slots and candidates
   * @return what the call did; good until this scorer's next call
   * @throws AdclickException when an input is NaN or infinite, there are more candidates than the scorer was made for, or
   *     {@code winners} is too small. A bad bid is no failure: the candidate gets its reason
   */
  public Outcome decide(Request request, Candidates candidates, Winners winners) {
    return decide(request, candidates, winners, null);
  }

  /**
   * As {@link #decide(Request, Candidates, Winners)}, and tells what became of each candidate.
   *
   * @param request the request
   * @param candidates its candidates
   * @param winners takes the winners: room for at least the lesser of slots and candidates
   * @param reasons takes a reason for each candidate, or is null
   * @return what the call did; good until this scorer's next call
   * @throws AdclickException as {@link #decide(Request, Candidates, Winners)}
   */
  public Outcome decide(Request request, Candidates candidates, Winners winners, Reasons reasons) {
    int n = candidates.size();
    long reasonsAddress = room(reasons, n);
    long columns = candidates.columnsAddress();
    long scorer = state.enter();
    try {
      int status =
          Native.decide(
              scorer, request.address(), request.valuesAddress(), request.valueCount(), candidates.address(), n,
              candidates.valuesAddress(), candidates.valueCount(), columns, winners.address(), winners.capacity(), reasonsAddress,
              frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      winners.size(outcome.winners());
      if (reasons != null) {
        reasons.size(n);
      }
      return outcome;
    } finally {
      state.leave();
      Reference.reachabilityFence(request);
      Reference.reachabilityFence(candidates);
      Reference.reachabilityFence(winners);
      Reference.reachabilityFence(reasons);
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Tells what this scorer's last decision found of one of its candidates: logits, probabilities, multipliers, rank score, reserve,
   * place and reason. The scorer keeps a decision until its next call, whatever that is.
   *
   * @param candidate its index in the decision's candidates
   * @return good until this scorer's next call
   * @throws AdclickException when the last call was no decision or failed, when it had no such candidate, or when the generation
   *     that decided is no longer live
   */
  public Explanation explain(int candidate) {
    long scorer = state.enter();
    try {
      int status = Native.explain(scorer, candidate, frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      return explanation;
    } finally {
      state.leave();
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Runs one auction on candidates whose probabilities the caller has. The winners' impression id is 0. The engine may be
   * closed.
   *
   * @param options the rules
   * @param candidates the candidates
   * @param predictions one for each candidate
   * @param winners takes the winners: room for at least the lesser of slots and candidates
   * @param reasons takes a reason for each candidate, or is null
   * @return how many winners there are
   * @throws AdclickException when an option is out of range, there are more candidates than the scorer was made for, or
   *     {@code winners} is too small
   */
  public int auction(
      AuctionOptions options, Candidates candidates, Predictions predictions, Winners winners, Reasons reasons) {
    long scorer = state.enter();
    try {
      return auction(scorer, frame, options, candidates, predictions, winners, reasons);
    } finally {
      state.leave();
      Reference.reachabilityFence(this);
    }
  }

  /** With the scorer's memory, or, when it is 0, with memory that the call allocates. */
  static int auction(
      long scorer, Frame frame, AuctionOptions options, Candidates candidates, Predictions predictions, Winners winners,
      Reasons reasons) {
    int n = candidates.size();
    if (predictions.size() != n) {
      throw new IllegalArgumentException(predictions.size() + " predictions for " + n + " candidates");
    }
    long reasonsAddress = room(reasons, n);
    try {
      int status =
          Native.auction(
              scorer, options.address(), candidates.address(), predictions.pctrAddress(), predictions.pcvrAddress(), n,
              winners.address(), winners.capacity(), reasonsAddress, frame.address());
      if (status != 0) {
        throw frame.failure(status);
      }
      int won = (int) frame.number();
      winners.size(won);
      if (reasons != null) {
        reasons.size(n);
      }
      return won;
    } finally {
      Reference.reachabilityFence(frame);
      Reference.reachabilityFence(options);
      Reference.reachabilityFence(candidates);
      Reference.reachabilityFence(predictions);
      Reference.reachabilityFence(winners);
      Reference.reachabilityFence(reasons);
    }
  }

  /**
   * The engine that it was made for.
   *
   * @return the engine
   */
  public Engine engine() {
    return engine;
  }

  /**
   * Frees the scorer's memory; again does nothing. It is safe at any time: when a call is under way on another thread,
   * that call ends well and frees it.
   */
  @Override
  public void close() {
    cleanable.clean();
  }

  private static long room(Reasons reasons, int n) {
    if (reasons == null) {
      return 0;
    }
    requireRoom(n, reasons.capacity(), "reasons");
    return reasons.address();
  }

  private static void requireRoom(int n, int capacity, String what) {
    if (n > capacity) {
      throw new IllegalArgumentException(n + " candidates, and room for " + capacity + " " + what);
    }
  }

  /** Whose turn it is. A scorer is a pointer for the library, so no call may begin after it was freed. */
  private static final class State implements Runnable {
    private static final int IDLE = 0;
    private static final int IN_USE = 1;
    /** In use, and the call that uses it will free it. */
    private static final int CLOSING = 2;

    private static final int CLOSED = 3;
    private static final VarHandle VALUE;

    static {
      try {
        VALUE = MethodHandles.lookup().findVarHandle(State.class, "value", int.class);
      } catch (ReflectiveOperationException e) {
        throw new ExceptionInInitializerError(e);
      }
    }

    private final long scorer;
    private volatile int value = IDLE;

    State(long scorer) {
      this.scorer = scorer;
      Handle.LIVE.incrementAndGet();
    }

    long enter() {
      if (!VALUE.compareAndSet(this, IDLE, IN_USE)) {
        throw refused();
      }
      return scorer;
    }

    void leave() {
      if (!VALUE.compareAndSet(this, IN_USE, IDLE)) {
        free();
      }
    }

    /** Closes it, once: {@code Cleanable.clean} sees to that. */
    @Override
    public void run() {
      while (true) {
        if (VALUE.compareAndSet(this, IDLE, CLOSED)) {
          free();
          return;
        }
        if (VALUE.compareAndSet(this, IN_USE, CLOSING)) {
          return;
        }
        if (value >= CLOSING) {
          return;
        }
      }
    }

    private void free() {
      value = CLOSED;
      int status = Native.scorerFree(scorer);
      Handle.LIVE.decrementAndGet();
      if (status != 0) {
        throw new IllegalStateException("a scorer could not be freed: " + Native.statusName(status));
      }
    }

    private IllegalStateException refused() {
      return new IllegalStateException(
          value >= CLOSING ? "the scorer was closed" : "the scorer is in use by another call: give each thread its own");
    }
  }
}
