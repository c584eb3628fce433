package io.adclick;

import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * What needs no engine: versions, ids and keys that stand for strings, and auctions of known probabilities. Any thread may
 * call it at any time.
 */
public final class Adclick {
  private Adclick() {}

  /**
   * The id of a category string: XXH3-64 with seed 0 of its UTF-8 bytes, the same as in training, packing and the other
   * languages. An integer category is its own id.
   *
   * <p>Computed in Java, as all hashes of arrays and strings: no native call, and nothing that the garbage collector waits for. A
   * surrogate without its other half counts as {@code '?'}, as {@link String#getBytes(java.nio.charset.Charset)} has it. The bytes
   * go through a buffer that the thread keeps: it grows with the longest string, to 64 KiB, and from then on nothing is allocated.
   * Strings of more than 21,845 chars get memory of their own.
   *
   * @param text the string
   * @return its id, 64 unsigned bits
   */
  public static long hash(String text) {
    return Hash.of(text);
  }

  /**
   * The id of a category string that is there as UTF-8 bytes, as {@link #hash(String)}. Allocates nothing.
   *
   * @param bytes an array that holds it
   * @param from where it begins
   * @param length its bytes
   * @return its id, 64 unsigned bits
   * @throws IndexOutOfBoundsException when that is not within the array
   */
  public static long hash(byte[] bytes, int from, int length) {
    Objects.checkFromIndexSize(from, length, bytes.length);
    return Hash.of(bytes, from, length);
  }

  /**
   * The id of a category string that is there as UTF-8 bytes, as {@link #hash(String)}. Allocates nothing, but for more than
   * 64 KiB of a heap buffer that is read-only. A direct buffer is hashed by the native library. The buffer's position does not
   * matter and stays.
   *
   * @param bytes a buffer that holds it
   * @param from the index at which it begins
   * @param length its bytes
   * @return its id, 64 unsigned bits
   * @throws IndexOutOfBoundsException when that is not within the buffer's limit
   */
  public static long hash(ByteBuffer bytes, int from, int length) {
    Objects.checkFromIndexSize(from, length, bytes.limit());
    return Hash.of(bytes, from, length);
  }

  /**
   * The key of a table row that belongs to two ids, such as user and advertiser, in the order in which the table's key
   * names them. Allocates nothing.
   *
   * @param first the first id
   * @param second the second id
   * @return the key; 0, which is no key, when an id is 0 (unknown)
   */
  public static long key(long first, long second) {
    return Hash.key(first, second);
  }

  /**
   * The key of a table row that belongs to any number of ids, as {@link #key(long, long)}. One id is its own key.
   *
   * @param ids the ids
   * @return the key; 0, which is no key, when an id is 0 (unknown) or there is none
   */
  public static long key(long... ids) {
    return Hash.key(ids);
  }

  /**
   * The native library's version.
   *
   * @return such as "0.1.0"
   */
  public static String version() {
    return Native.version();
  }

  /**
   * The version of the native library's C ABI.
   *
   * @return 1 or more
   */
  public static int abiVersion() {
    return Native.abiVersion();
  }

  /**
   * The best kernel (instruction set) that this CPU has.
   *
   * @return "avx512", "avx2" or "portable"
   */
  public static String kernel() {
    return Native.kernel(0);
  }

  /**
   * Runs one auction as {@link Scorer#auction} does, without a scorer: it allocates what it needs.
   *
   * @param options the rules
   * @param candidates the candidates
   * @param predictions one for each candidate
   * @param winners takes the winners: room for at least the lesser of slots and candidates
   * @param reasons takes a reason for each candidate, or is null
   * @return how many winners there are
   * @throws AdclickException when an option is out of range, there are more than 1,048,576 candidates, or {@code winners} is
   *     too small
   */
  public static int auction(
      AuctionOptions options, Candidates candidates, Predictions predictions, Winners winners, Reasons reasons) {
    return Scorer.auction(0, new Frame(0), options, candidates, predictions, winners, reasons);
  }

  /**
   * Where the native library was found: the first of the file or directory that the system property
   * {@code adclick.library.path} names, {@code java.library.path}, and the jar with this platform's classifier, from where it is
   * extracted to the directory that {@code adclick.library.extract.dir} names, or else to one that exists only while it is loaded.
   * A file that another class loader of this process has loaded is copied, and the copy loaded.
   *
   * @return a path, or words for the log
   */
  public static String libraryPath() {
    Native.shimVersion();
    return NativeLibrary.loadedFrom();
  }
}
