package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Hashes and keys in Java, beside the library's own. */
class HashTest {
  private static final int LONGEST = 5000;
  private final Random random = new Random(24);

  /** What the C function says of bytes. */
  private static long expected(ByteBuffer direct, byte[] bytes, int from, int n) {
    direct.put(0, bytes, from, n);
    return Native.hash(direct, 0, n);
  }

  @Test
  void arraysOfEveryLength() {
    byte[] bytes = new byte[LONGEST + 100];
    ByteBuffer direct = ByteBuffer.allocateDirect(LONGEST);
    for (int round = 0; round < 100_000; round++) {
      random.nextBytes(bytes);
      // Every length once, then any; the branches are at 0, 3, 8, 16, 128, 240 and each 1024.
      int n = round <= LONGEST ? round : random.nextInt(LONGEST + 1);
      int from = random.nextInt(100);
      assertEquals(expected(direct, bytes, from, n), Adclick.hash(bytes, from, n), n + " bytes");
    }
  }

  @Test
  void arraysThatAreLong() {
    byte[] bytes = new byte[3 << 20];
    random.nextBytes(bytes);
    ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length);
    for (int n : new int[] {1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, bytes.length}) {
      assertEquals(expected(direct, bytes, 0, n), Adclick.hash(bytes, 0, n), n + " bytes");
    }
  }

  @Test
  void buffersOfEachKind() {
    byte[] bytes = new byte[100_000];
    random.nextBytes(bytes);
    ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length).put(0, bytes);
    ByteBuffer[] kinds = {
      direct, direct.asReadOnlyBuffer(), ByteBuffer.wrap(bytes), ByteBuffer.wrap(bytes).asReadOnlyBuffer(),
    };
    for (int round = 0; round < 1000; round++) {
      int n = round == 0 ? bytes.length : random.nextInt(2000);
      int from = round == 0 ? 0 : random.nextInt(bytes.length - n);
      long expected = Adclick.hash(bytes, from, n);
      for (ByteBuffer kind : kinds) {
        kind.position(random.nextInt(bytes.length));
        int position = kind.position();
        assertEquals(expected, Adclick.hash(kind, from, n), kind + " from " + from);
        assertEquals(position, kind.position());
      }
      ByteBuffer slice = ByteBuffer.wrap(bytes).position(from).slice();
      assertEquals(expected, Adclick.hash(slice, 0, n), "a slice from " + from);
    }
  }

  @Test
  void stringsAreTheirUtf8() {
    ByteBuffer direct = ByteBuffer.allocateDirect(4 * LONGEST);
    for (int round = 0; round < 100_000; round++) {
      StringBuilder made = new StringBuilder();
      int kind = random.nextInt(4);
      for (int i = random.nextInt(round < 1000 ? LONGEST : 80); i > 0; i--) {
        switch (kind) {
          case 0 -> made.append((char) random.nextInt(0x80));
          case 1 -> made.append((char) random.nextInt(0x100));
          case 2 -> made.appendCodePoint(random.nextInt(Character.MAX_CODE_POINT + 1));
          default -> made.append((char) (0xD700 + random.nextInt(0x1000))); // mostly surrogates, few of them paired
        }
      }
      String text = made.toString();
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      assertEquals(expected(direct, bytes, 0, bytes.length), Adclick.hash(text), bytes.length + " bytes, kind " + kind);
    }
    String longest = "é".repeat(200_000);
    byte[] bytes = longest.getBytes(StandardCharsets.UTF_8);
    assertEquals(expected(ByteBuffer.allocateDirect(bytes.length), bytes, 0, bytes.length), Adclick.hash(longest));
    assertEquals(Adclick.hash("a?b"), Adclick.hash("a\uD800b"), "half a pair");
  }

  @Test
  void keysOfAnyNumberOfIds() {
    ByteBuffer direct = ByteBuffer.allocateDirect(8 * 8).order(ByteOrder.nativeOrder());
    for (int round = 0; round < 10_000; round++) {
      long[] ids = random.longs(random.nextInt(8)).map(id -> id % 5 == 0 ? 0 : id).toArray();
      direct.asLongBuffer().put(ids);
      long expected = Native.key(direct, ids.length);
      assertEquals(expected, Adclick.key(ids));
      if (ids.length == 2) {
        assertEquals(expected, Adclick.key(ids[0], ids[1]));
      }
    }
  }

  @Test
  void rangesAreChecked() {
    byte[] bytes = new byte[10];
    ByteBuffer limited = ByteBuffer.allocateDirect(10).limit(5);
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(bytes, 5, 6));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(bytes, -1, 2));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(bytes, Integer.MAX_VALUE, Integer.MAX_VALUE));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(limited, 0, 6));
    assertThrows(IndexOutOfBoundsException.class, () -> Adclick.hash(limited, 0, -1));
    assertThrows(NullPointerException.class, () -> Adclick.hash((String) null));
    assertThrows(NullPointerException.class, () -> Adclick.key((long[]) null));
  }

  @Test
  void nothingIsAllocated() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    byte[] bytes = new byte[2000];
    ByteBuffer direct = ByteBuffer.allocateDirect(2000);
    ByteBuffer readOnly = ByteBuffer.wrap(bytes).asReadOnlyBuffer();
    String text = "kampagne-ä-€-" + "x".repeat(900);
    long[] ids = {1, 2, 3};
    long least = Long.MAX_VALUE;
    long sum = 0;
    for (int round = 0; round < 5; round++) {
      long before = threads.getCurrentThreadAllocatedBytes();
      for (int i = 0; i < 2000; i++) {
        sum += Adclick.hash(bytes, 0, i) + Adclick.hash(direct, 0, i) + Adclick.hash(readOnly, 0, i) + Adclick.hash(text);
        sum += Adclick.key(i, 2) + Adclick.key(ids);
      }
      least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
    }
    assertEquals(0, least, "bytes allocated; " + sum);
  }

  /** Decides with ids that are hashed for each request, in a heap that is small for it. */
  static final class Requests {
    private static volatile Object sink;

    public static void main(String[] arguments) throws Exception {
      long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000_000L;
      byte[][] names = new byte[1000][];
      for (int i = 0; i < names.length; i++) {
        names[i] = ("campaign-" + i + "-creative-" + i).getBytes(StandardCharsets.UTF_8);
      }
      Thread[] all = new Thread[10];
      int[] requests = new int[all.length];
      int[] failed = new int[all.length];
      try (Engine engine = Engine.open(Ids.BUNDLES, new EngineOptions())) {
        for (int t = 0; t < all.length; t++) {
          int at = t;
          Runnable turn = t < 6 ? serving(engine, names) : () -> sink = new byte[3000];
          all[t] = new Thread(() -> {
            while (System.nanoTime() < end) {
              try {
                turn.run();
                requests[at]++;
              } catch (OutOfMemoryError e) {
                failed[at]++;
              }
            }
          });
          all[t].start();
        }
        for (Thread each : all) {
          each.join();
        }
      }
      int served = 0;
      int outOfMemory = 0;
      for (int t = 0; t < all.length; t++) {
        served += t < 6 ? requests[t] : 0;
        outOfMemory += failed[t];
      }
      System.out.println((served > 0 ? "requests " : "no requests ") + served + ", OutOfMemoryError " + outOfMemory + ".");
    }

    private static Runnable serving(Engine engine, byte[][] names) {
      Scorer scorer = engine.newScorer(names.length);
      Request request = new Request(4);
      Candidates candidates = new Candidates(names.length, 10);
      Winners winners = new Winners(2);
      return () -> {
        byte[] body = new byte[6000];
        sink = body;
        sink = new String(body, StandardCharsets.ISO_8859_1);
        request.clear().requestId(body.length).timeMicros(Ids.TIME).slots(1);
        candidates.clear();
        for (byte[] name : names) {
          candidates.add(Adclick.hash(name, 0, name.length)).bid(BidKind.CPC, 1000);
        }
        scorer.decide(request, candidates, winners);
      };
    }
  }

  /** With critical sections in the hash, G1 of Java 17 gave up "after too many retries" within seconds. */
  @Test
  @Timeout(300)
  void theCollectorIsNotHeldUp() throws Exception {
    String seconds = System.getProperty("adclick.hash.seconds", "5");
    Child child = Child.run(Child.classPath(true), Requests.class, new String[] {seconds}, "-Xmx64m", "-XX:+UseG1GC");
    assertEquals(0, child.status, child.output);
    String last = child.output.strip();
    assertEquals(", OutOfMemoryError 0.", last.substring(last.indexOf(',')), child.output);
    assertEquals("requests", last.split(" ")[0], child.output);
    System.out.println(last + " (in " + seconds + " s)");
  }
}
