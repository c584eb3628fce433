package io.adclick;

import java.util.Objects;

/** A view of one of {@link Candidates}. There is one for each, which moves: do not keep it. */
public final class Candidate {
  private final Candidates all;
  private int index;
  private int at;

  Candidate(Candidates all) {
    this.all = all;
  }

  Candidate moveTo(int index) {
    this.index = index;
    at = index * Layout.CANDIDATE;
    return this;
  }

  /**
   * Which of the candidates it is, as {@link Winner#candidate} and {@link Reasons#get} count them.
   *
   * @return the index, from 0
   */
  public int index() {
    return index;
  }

  /**
   * Sets the ad's key in ad tables, which breaks ties (the smaller wins).
   *
   * @param key the key
   * @return this
   */
  public Candidate adKey(long key) {
    all.bytes.putLong(at + Layout.CANDIDATE_AD_KEY, key);
    return this;
  }

  /**
   * The ad's key in ad tables.
   *
   * @return the key
   */
  public long adKey() {
    return all.bytes.getLong(at + Layout.CANDIDATE_AD_KEY);
  }

  /**
   * Sets the advertiser's key in cross tables.
   *
   * @param key the key
   * @return this
   */
  public Candidate advertiserKey(long key) {
    all.bytes.putLong(at + Layout.CANDIDATE_ADVERTISER_KEY, key);
    return this;
  }

  /**
   * The advertiser's key in cross tables.
   *
   * @return the key
   */
  public long advertiserKey() {
    return all.bytes.getLong(at + Layout.CANDIDATE_ADVERTISER_KEY);
  }

  /**
   * Sets the bid.
   *
   * @param kind what it pays for
   * @param micros for one event of its kind (CPM: 1000 impressions; oCPM: a conversion), in millionths of the currency unit
   * @return this
   */
  public Candidate bid(BidKind kind, long micros) {
    all.bytes.putInt(at + Layout.CANDIDATE_BID_KIND, kind.code());
    all.bytes.putLong(at + Layout.CANDIDATE_BID_MICROS, micros);
    return this;
  }

  /**
   * What the bid pays for.
   *
   * @return the kind
   */
  public BidKind bidKind() {
    return BidKind.of(all.bytes.getInt(at + Layout.CANDIDATE_BID_KIND));
  }

  /**
   * The bid.
   *
   * @return millionths of the currency unit for one event of its kind
   */
  public long bidMicros() {
    return all.bytes.getLong(at + Layout.CANDIDATE_BID_MICROS);
  }

  /**
   * Sets the least price of one billed event (CPM and oCPM: 1000 impressions).
   *
   * @param micros millionths of the currency unit; 0 = the policy's
   * @return this
   */
  public Candidate reserveMicros(long micros) {
    all.bytes.putLong(at + Layout.CANDIDATE_RESERVE_MICROS, micros);
    return this;
  }

  /**
   * The least price of one billed event.
   *
   * @return millionths of the currency unit; 0 = the policy's
   */
  public long reserveMicros() {
    return all.bytes.getLong(at + Layout.CANDIDATE_RESERVE_MICROS);
  }

  /**
   * Sets what the bid is multiplied by in ranking.
   *
   * @param factor above 0; 0 = 1
   * @return this
   */
  public Candidate modifier(float factor) {
    all.bytes.putFloat(at + Layout.CANDIDATE_MODIFIER, factor);
    return this;
  }

  /**
   * What the bid is multiplied by in ranking.
   *
   * @return the factor; 0 = 1
   */
  public float modifier() {
    return all.bytes.getFloat(at + Layout.CANDIDATE_MODIFIER);
  }

  /**
   * Sets what the rank score is multiplied by.
   *
   * @param factor above 0; 0 = 1
   * @return this
   */
  public Candidate quality(float factor) {
    all.bytes.putFloat(at + Layout.CANDIDATE_QUALITY, factor);
    return this;
  }

  /**
   * What the rank score is multiplied by.
   *
   * @return the factor; 0 = 1
   */
  public float quality() {
    return all.bytes.getFloat(at + Layout.CANDIDATE_QUALITY);
  }

  /**
   * Adds the value of a number feature. Only to the candidate that was added last.
   *
   * @param feature the feature's handle
   * @param number the number
   * @return this
   */
  public Candidate number(int feature, float number) {
    return add(feature, number, 0);
  }

  /**
   * Adds the value of a category feature: once for each value of one that has many. Only to the candidate that was added last.
   *
   * @param feature the feature's handle
   * @param id {@link Adclick#hash(String)} of a string, or the integer itself
   * @return this
   */
  public Candidate id(int feature, long id) {
    return add(feature, 0, id);
  }

  /**
   * Adds a value of a multi-valued category feature with its weight. Only to the candidate that was added last.
   *
   * @param feature the feature's handle
   * @param id {@link Adclick#hash(String)} of a string, or the integer itself
   * @param weight the weight; 0 = 1
   * @return this
   */
  public Candidate weighted(int feature, long id, float weight) {
    return add(feature, weight, id);
  }

  /**
   * Adds the value of a vector feature. Only to the candidate that was added last.
   *
   * @param feature the feature's handle
   * @param numbers all of its positions
   * @return this
   */
  public Candidate vector(int feature, float[] numbers) {
    requireLast();
    all.values.addAll(feature, numbers);
    return counted();
  }

  /**
   * Takes another candidate's values for its own, in the place of those that it has: what many have in common need not
   * be repeated.
   *
   * @param other the index of the other candidate
   * @return this
   */
  public Candidate sameValuesAs(int other) {
    int from = Objects.checkIndex(other, all.size()) * Layout.CANDIDATE;
    all.bytes.putInt(at + Layout.CANDIDATE_FIRST_VALUE, all.bytes.getInt(from + Layout.CANDIDATE_FIRST_VALUE));
    all.bytes.putInt(at + Layout.CANDIDATE_N_VALUES, all.bytes.getInt(from + Layout.CANDIDATE_N_VALUES));
    return this;
  }

  /** Any values for its own, there or not; what is not there the library refuses. */
  Candidate valueRange(int first, int count) {
    all.bytes.putInt(at + Layout.CANDIDATE_FIRST_VALUE, first);
    all.bytes.putInt(at + Layout.CANDIDATE_N_VALUES, count);
    return this;
  }

  private Candidate add(int feature, float number, long id) {
    requireLast();
    all.values.add(feature, number, id);
    return counted();
  }

  private void requireLast() {
    int end =
        all.bytes.getInt(at + Layout.CANDIDATE_FIRST_VALUE) + all.bytes.getInt(at + Layout.CANDIDATE_N_VALUES);
    if (index != all.size() - 1 || end != all.values.size()) {
      throw new IllegalStateException("values go to the candidate that was added last, and has values of its own");
    }
  }

  private Candidate counted() {
    int first = all.bytes.getInt(at + Layout.CANDIDATE_FIRST_VALUE);
    all.bytes.putInt(at + Layout.CANDIDATE_N_VALUES, all.values.size() - first);
    return this;
  }
}
