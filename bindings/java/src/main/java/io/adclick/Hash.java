package io.adclick;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;

/**
 * XXH3-64 with seed 0 and the keys made of it, as {@code adclick_hash} and {@code adclick_key} compute them. In Java, because
 * native code can only look into an array by copying it or by holding up the collector. Own code and no library: the binding
 * depends on nothing, and the libraries that there are take no string as UTF-8 without allocating.
 *
 * <p>The names of the steps are those of the algorithm's specification (xxHash, doc/xxhash_spec.md).
 */
final class Hash {
  private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

  private static final long PRIME32_1 = 0x9E3779B1L;
  private static final long PRIME32_2 = 0x85EBCA77L;
  private static final long PRIME32_3 = 0xC2B2AE3DL;
  private static final long PRIME64_1 = 0x9E3779B185EBCA87L;
  private static final long PRIME64_2 = 0xC2B2AE3D27D4EB4FL;
  private static final long PRIME64_3 = 0x165667B19E3779F9L;
  private static final long PRIME64_4 = 0x85EBCA77C2B2AE63L;
  private static final long PRIME64_5 = 0x27D4EB2F165667C5L;
  private static final long PRIME_MX1 = 0x165667919E3779F9L;
  private static final long PRIME_MX2 = 0x9FB21C651E98DF25L;

  private static final byte[] SECRET =
      HexFormat.of().parseHex(
          "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
              + "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f"
              + "1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1"
              + "fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e");

  private static final int STRIPE = 64;
  private static final int STRIPES_OF_BLOCK = (SECRET.length - STRIPE) / 8;

  /** What a thread keeps between strings, at most; longer ones get memory of their own. */
  private static final int KEPT = 1 << 16;
  private static final ThreadLocal<byte[]> BUFFER = ThreadLocal.withInitial(() -> new byte[256]);

  private Hash() {}

  /** The hash of a string's UTF-8 bytes, with '?' for a surrogate without its other half, as {@link String#getBytes} has it. */
  static long of(String text) {
    byte[] buffer = buffer(3L * text.length());
    return of(buffer, 0, encode(text, buffer));
  }

  /** The hash of bytes of a buffer, which are within its limit. */
  static long of(ByteBuffer b, int at, int n) {
    if (b.isDirect()) {
      return Native.hash(b, at, n);
    }
    if (b.hasArray()) {
      return of(b.array(), b.arrayOffset() + at, n);
    }
    // One that may only be read.
    byte[] buffer = buffer(n);
    b.get(at, buffer, 0, n);
    return of(buffer, 0, n);
  }

  /** Room for so many bytes, this thread's until its next call. */
  private static byte[] buffer(long room) {
    byte[] buffer = BUFFER.get();
    if (room <= buffer.length) {
      return buffer;
    }
    if (room > KEPT) {
      return new byte[Math.toIntExact(room)];
    }
    byte[] larger = new byte[Integer.highestOneBit((int) room - 1) << 1];
    BUFFER.set(larger);
    return larger;
  }

  private static int encode(String text, byte[] to) {
    int n = 0;
    for (int i = 0, length = text.length(); i < length; i++) {
      char c = text.charAt(i);
      if (c < 0x80) {
        to[n++] = (byte) c;
      } else if (c < 0x800) {
        to[n++] = (byte) (0xC0 | c >> 6);
        to[n++] = (byte) (0x80 | c & 0x3F);
      } else if (!Character.isSurrogate(c)) {
        to[n++] = (byte) (0xE0 | c >> 12);
        to[n++] = (byte) (0x80 | c >> 6 & 0x3F);
        to[n++] = (byte) (0x80 | c & 0x3F);
      } else if (Character.isHighSurrogate(c) && i + 1 < length && Character.isLowSurrogate(text.charAt(i + 1))) {
        int point = Character.toCodePoint(c, text.charAt(++i));
        to[n++] = (byte) (0xF0 | point >> 18);
        to[n++] = (byte) (0x80 | point >> 12 & 0x3F);
        to[n++] = (byte) (0x80 | point >> 6 & 0x3F);
        to[n++] = (byte) (0x80 | point & 0x3F);
      } else {
        to[n++] = '?';
      }
    }
    return n;
  }

  /** The hash of {@code n} bytes from {@code at} on; both are within the array. */
  static long of(byte[] b, int at, int n) {
    if (n <= 16) {
      return upTo16(b, at, n);
    }
    if (n <= 240) {
      return upTo240(b, at, n);
    }
    return longer(b, at, n);
  }

  private static long upTo16(byte[] b, int at, int n) {
    if (n > 8) {
      long low = longAt(b, at) ^ secret(24) ^ secret(32);
      long high = longAt(b, at + n - 8) ^ secret(40) ^ secret(48);
      return avalanche(n + Long.reverseBytes(low) + high + foldedProduct(low, high));
    }
    if (n >= 4) {
      long first = intAt(b, at);
      long last = intAt(b, at + n - 4);
      long h = (last + (first << 32)) ^ secret(8) ^ secret(16);
      h ^= Long.rotateLeft(h, 49) ^ Long.rotateLeft(h, 24);
      h *= PRIME_MX2;
      h ^= (h >>> 35) + n;
      h *= PRIME_MX2;
      return h ^ (h >>> 28);
    }
    if (n > 0) {
      long first = b[at] & 0xFF;
      long middle = b[at + (n >> 1)] & 0xFF;
      long last = b[at + n - 1] & 0xFF;
      long combined = (first << 16) | (middle << 24) | last | ((long) n << 8);
      return avalanche64(combined ^ (intAt(SECRET, 0) ^ intAt(SECRET, 4)));
    }
    return avalanche64(secret(56) ^ secret(64));
  }

  private static long upTo240(byte[] b, int at, int n) {
    long sum = n * PRIME64_1;
    if (n <= 128) {
      // Pairs of 16 bytes, from both ends to the middle.
      for (int i = (n - 1) >> 5; i >= 0; i--) {
        sum += mix16(b, at + 16 * i, 32 * i) + mix16(b, at + n - 16 * (i + 1), 32 * i + 16);
      }
      return avalanche(sum);
    }
    for (int i = 0; i < 8; i++) {
      sum += mix16(b, at + 16 * i, 16 * i);
    }
    sum = avalanche(sum);
    for (int i = 8; i < n >> 4; i++) {
      sum += mix16(b, at + 16 * i, 16 * (i - 8) + 3);
    }
    return avalanche(sum + mix16(b, at + n - 16, 136 - 17));
  }

  private static long longer(byte[] b, int at, int n) {
    // Eight variables and no array: nothing has to be allocated, or to be proved needless.
    long a0 = PRIME32_3, a1 = PRIME64_1, a2 = PRIME64_2, a3 = PRIME64_3;
    long a4 = PRIME64_4, a5 = PRIME32_2, a6 = PRIME64_5, a7 = PRIME32_1;
    int stripes = (n - 1) / STRIPE;
    for (int i = 0; i <= stripes; i++) {
      // The last stripe ends where the input ends, and so may overlap the one before.
      int p = i < stripes ? at + STRIPE * i : at + n - STRIPE;
      int s = i < stripes ? 8 * (i % STRIPES_OF_BLOCK) : SECRET.length - STRIPE - 7;
      long d0 = longAt(b, p), d1 = longAt(b, p + 8), d2 = longAt(b, p + 16), d3 = longAt(b, p + 24);
      long d4 = longAt(b, p + 32), d5 = longAt(b, p + 40), d6 = longAt(b, p + 48), d7 = longAt(b, p + 56);
      a0 += d1 + halvesProduct(d0 ^ secret(s));
      a1 += d0 + halvesProduct(d1 ^ secret(s + 8));
      a2 += d3 + halvesProduct(d2 ^ secret(s + 16));
      a3 += d2 + halvesProduct(d3 ^ secret(s + 24));
      a4 += d5 + halvesProduct(d4 ^ secret(s + 32));
      a5 += d4 + halvesProduct(d5 ^ secret(s + 40));
      a6 += d7 + halvesProduct(d6 ^ secret(s + 48));
      a7 += d6 + halvesProduct(d7 ^ secret(s + 56));
      if (i < stripes && i % STRIPES_OF_BLOCK == STRIPES_OF_BLOCK - 1) {
        int k = SECRET.length - STRIPE;
        a0 = scramble(a0, k);
        a1 = scramble(a1, k + 8);
        a2 = scramble(a2, k + 16);
        a3 = scramble(a3, k + 24);
        a4 = scramble(a4, k + 32);
        a5 = scramble(a5, k + 40);
        a6 = scramble(a6, k + 48);
        a7 = scramble(a7, k + 56);
      }
    }
    long sum = n * PRIME64_1;
    sum += foldedProduct(a0 ^ secret(11), a1 ^ secret(19)) + foldedProduct(a2 ^ secret(27), a3 ^ secret(35));
    sum += foldedProduct(a4 ^ secret(43), a5 ^ secret(51)) + foldedProduct(a6 ^ secret(59), a7 ^ secret(67));
    return avalanche(sum);
  }

  private static long mix16(byte[] b, int at, int secret) {
    return foldedProduct(longAt(b, at) ^ secret(secret), longAt(b, at + 8) ^ secret(secret + 8));
  }

  private static long halvesProduct(long x) {
    return (x & 0xFFFFFFFFL) * (x >>> 32);
  }

  private static long scramble(long lane, int secret) {
    return (lane ^ (lane >>> 47) ^ secret(secret)) * PRIME32_1;
  }

  /** The two halves of the unsigned product of 128 bits, the one xor the other. */
  private static long foldedProduct(long x, long y) {
    // Math.unsignedMultiplyHigh came with Java 18.
    long high = Math.multiplyHigh(x, y) + ((x >> 63) & y) + ((y >> 63) & x);
    return high ^ (x * y);
  }

  private static long avalanche(long h) {
    h = (h ^ (h >>> 37)) * PRIME_MX1;
    return h ^ (h >>> 32);
  }

  /** The one of XXH64. */
  private static long avalanche64(long h) {
    h = (h ^ (h >>> 33)) * PRIME64_2;
    h = (h ^ (h >>> 29)) * PRIME64_3;
    return h ^ (h >>> 32);
  }

  private static long secret(int at) {
    return longAt(SECRET, at);
  }

  private static long longAt(byte[] b, int at) {
    return (long) LONG.get(b, at);
  }

  private static long intAt(byte[] b, int at) {
    return (int) INT.get(b, at) & 0xFFFFFFFFL;
  }

  /** The key of rows that belong to two ids; 0 when one is 0. */
  static long key(long first, long second) {
    return first == 0 || second == 0 ? 0 : orOne(join(first, second));
  }

  /** The key of rows that belong to any number of ids; 0 when one is 0, or there is none. */
  static long key(long[] ids) {
    long key = 0;
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] == 0) {
        return 0;
      }
      key = i == 0 ? ids[i] : join(key, ids[i]);
    }
    return ids.length == 0 ? 0 : orOne(key);
  }

  private static long join(long key, long id) {
    return mix(mix(key) ^ id);
  }

  private static long orOne(long key) {
    return key == 0 ? 1 : key;
  }

  /** SplitMix64's finaliser. */
  private static long mix(long id) {
    long z = id + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
