package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The order in which the native library is looked for, each in a virtual machine of its own. */
@Timeout(120)
class LoadingTest {
  /** Tells where the library came from. */
  static final class Tell {
    public static void main(String[] args) {
      System.out.println(Adclick.libraryPath());
      System.out.println(Adclick.hash("") == 0x2d06800538d394c2L ? "works" : "does not work");
    }
  }

  private static void assertLoaded(String from, Child child) {
    assertEquals(0, child.status, child.output);
    assertTrue(child.output.startsWith(from), child.output);
    assertTrue(child.output.contains("works"), child.output);
  }

  private static void assertFails(Child child, String... told) {
    assertEquals(1, child.status, child.output);
    for (String each : told) {
      assertTrue(child.output.contains(each), each + " is missing in:\n" + child.output);
    }
  }

  @Test
  void anExplicitPathComesFirst(@TempDir Path directory) throws Exception {
    Path file = Files.copy(Child.library(), directory.resolve("libadclick_jni.so"));
    Path other = Files.copy(Child.library(), directory.resolve("other.so"));
    String path = Child.classPath(true);
    String library = "-Djava.library.path=" + Child.library().getParent();
    assertLoaded(other.toString(), Child.run(path, Tell.class, "-Dadclick.library.path=" + other, library));
    assertLoaded(file.toString(), Child.run(path, Tell.class, "-Dadclick.library.path=" + directory, library));
    // And alone: what was asked for and is not there is not replaced by something else.
    assertFails(
        Child.run(path, Tell.class, "-Dadclick.library.path=" + directory.resolve("no.so"), library),
        "-Dadclick.library.path=", "no.so", "nothing else is tried");
  }

  @Test
  void thenTheLibraryPath() throws Exception {
    Child child = Child.run(Child.classPath(true), Tell.class, "-Djava.library.path=" + Child.library().getParent());
    assertLoaded("java.library.path", child);
  }

  @Test
  void thenTheJar(@TempDir Path directory) throws Exception {
    Path temporary = Files.createDirectory(directory.resolve("tmp"));
    Child child = Child.run(Child.classPath(true), Tell.class, "-Djava.library.path=/none", "-Djava.io.tmpdir=" + temporary);
    assertLoaded("a copy that was at " + temporary, child);
    assertTrue(list(temporary).isEmpty(), "left behind: " + list(temporary));
  }

  @Test
  void extractedWhereItWasAskedFor(@TempDir Path directory) throws Exception {
    Path to = directory.resolve("deep/down");
    String[] options = {"-Djava.library.path=/none", "-Dadclick.library.extract.dir=" + to};
    assertLoaded(to.toString(), Child.run(Child.classPath(true), Tell.class, options));
    assertEquals(1, list(to).size());
    Path file = list(to).get(0);
    Object inode = Files.getAttribute(file, "unix:ino");
    assertLoaded(file.toString(), Child.run(Child.classPath(true), Tell.class, options));
    assertEquals(inode, Files.getAttribute(file, "unix:ino"), "extracted again though it was there");
    // A file of that name with other content is replaced.
    Files.write(file, new byte[100]);
    assertLoaded(file.toString(), Child.run(Child.classPath(true), Tell.class, options));
    assertEquals(List.of(file), list(to));
    assertEquals(-1, Files.mismatch(file, Child.library()));
  }

  @Test
  void whatWasTriedIsTold(@TempDir Path directory) throws Exception {
    assertFails(
        Child.run(Child.classPath(false), Tell.class, "-Djava.library.path=/none"),
        "UnsatisfiedLinkError", "-Dadclick.library.path (not set)", "java.library.path (/none)",
        "classifier " + NativeLibrary.platform());
    Path file = Files.createFile(directory.resolve("file"));
    assertFails(
        Child.run(Child.classPath(true), Tell.class, "-Djava.library.path=/none", "-Dadclick.library.extract.dir=" + file),
        "extracted (to another directory: -Dadclick.library.extract.dir=DIR)", file.toString());
  }

  @Test
  void anotherLibraryIsNotTakenForThisOne() throws Exception {
    assertFails(
        Child.run(Child.classPath(true), Tell.class, "-Dadclick.library.path=" + Ids.DIR.resolve("libplanted.so")),
        "is not adclick's JNI library");
  }

  private static List<Path> list(Path directory) throws Exception {
    try (var files = Files.list(directory)) {
      return files.toList();
    }
  }
}
