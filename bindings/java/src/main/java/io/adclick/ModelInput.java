package io.adclick;

import java.util.Optional;
import java.util.OptionalLong;

/**
 * An input of the live model.
 *
 * @param name the name that {@link Engine#feature} takes
 * @param feature its handle
 * @param side where its values come with
 * @param kind what its values are
 * @param dim positions of a vector; else 1
 * @param reading how the model comes by it
 * @param source where the schema takes it from
 * @param from of {@link Reading#TABLE}, from which column, such as "users.age", or "dot(…)" or "cosine(…)" of two; else empty
 * @param defaultNumber the number that stands in for a missing value, or that the input is fixed to
 * @param defaultId the id that does
 */
public record ModelInput(
    String name, int feature, Side side, Kind kind, int dim, Reading reading, Source source, String from,
    Optional<Float> defaultNumber, OptionalLong defaultId) {
  static final int NUMBER = 1;
  static final int ID = 2;
  static final int NAME = 256;
  static final int FROM = 1056;

  /** Where the values of an input come with. */
  public enum Side {
    /** One value for the whole request: {@link Request}. */
    REQUEST,
    /** One value for each candidate: {@link Candidate}. */
    CANDIDATE,
    /** A number that these classes do not know: the library is newer. */
    UNKNOWN
  }

  /** What the values of an input are. */
  public enum Kind {
    /** One number. */
    NUMBER,
    /** One category, by its id. */
    CATEGORY,
    /** Any number of categories, each with a weight. */
    CATEGORIES,
    /** The positions of a vector. */
    VECTOR,
    /** A number that these classes do not know: the library is newer. */
    UNKNOWN
  }

  /** How a model comes by an input. */
  public enum Reading {
    /** It is passed, or its default stands in. */
    PASSED,
    /** It is passed, or read from tables. */
    TABLE,
    /** It is derived from the request's time; what is passed is ignored. */
    TIME,
    /** The schema fixes it, as positions; what is passed is ignored. */
    FIXED,
    /** A number that these classes do not know: the library is newer. */
    UNKNOWN
  }

  /** Where a model's schema takes an input from. */
  public enum Source {
    /** Passed with the request. */
    CONTEXT,
    /** A table keyed by user. */
    USER,
    /** Derived from the request's time. */
    TIME,
    /** A table keyed by ad. */
    AD,
    /** A table keyed by a pair, such as user and advertiser. */
    CROSS,
    /** Passed with the candidate. */
    CANDIDATE,
    /** The similarity of two vectors. */
    DOT,
    /** A number that these classes do not know: the library is newer. */
    UNKNOWN
  }

  ModelInput(Frame frame) {
    this(
        frame.resultText(Layout.MODEL_INPUT_NAME, NAME),
        frame.resultInt(Layout.MODEL_INPUT_FEATURE),
        of(Side.values(), frame.resultInt(Layout.MODEL_INPUT_SIDE)),
        of(Kind.values(), frame.resultInt(Layout.MODEL_INPUT_KIND)),
        frame.resultInt(Layout.MODEL_INPUT_DIM),
        of(Reading.values(), frame.resultInt(Layout.MODEL_INPUT_READING)),
        of(Source.values(), frame.resultInt(Layout.MODEL_INPUT_SOURCE)),
        frame.resultText(Layout.MODEL_INPUT_FROM, FROM),
        (frame.resultInt(Layout.MODEL_INPUT_FLAGS) & NUMBER) == 0
            ? Optional.empty()
            : Optional.of(frame.resultFloat(Layout.MODEL_INPUT_DEFAULT_NUMBER)),
        (frame.resultInt(Layout.MODEL_INPUT_FLAGS) & ID) == 0
            ? OptionalLong.empty()
            : OptionalLong.of(frame.resultLong(Layout.MODEL_INPUT_DEFAULT_ID)));
  }

  /** The constants stand in the order of the C ABI, the unknown one last. */
  private static <E> E of(E[] all, int number) {
    return all[number >= 0 && number < all.length ? number : all.length - 1];
  }
}
