package io.adclick;

import io.adclick.spi.NativeResource;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.ServiceLoader;

/** Finds and loads {@code libadclick_jni.so}: by an explicit path, by {@code java.library.path}, or out of a jar. */
final class NativeLibrary {
  static final String PATH = "adclick.library.path";
  static final String EXTRACT = "adclick.library.extract.dir";
  private static final String NAME = "adclick_jni";
  private static final String FILE = "libadclick_jni.so";

  private static String loadedFrom;

  private NativeLibrary() {}

  /** Where the library came from; after {@link #load}. */
  static synchronized String loadedFrom() {
    return loadedFrom;
  }

  static synchronized void load() {
    if (loadedFrom != null) {
      return;
    }
    checkPackage();
    String from = find();
    checkVersions(from);
    loadedFrom = from;
  }

  /** Tools that move classes to another package rewrite names in constants too: this one is put together when it is needed. */
  private static void checkPackage() {
    String expected = String.join(".", "io", "adclick");
    String found = NativeLibrary.class.getPackageName();
    if (!found.equals(expected)) {
      throw new UnsatisfiedLinkError(
          "adclick: the classes were moved to the package " + found + ", but the functions of " + FILE + " bear the name "
              + expected + ": exclude " + expected + " from the relocation");
    }
  }

  private static String find() {
    String explicit = System.getProperty(PATH);
    if (explicit != null && !explicit.isEmpty()) {
      return loadExplicit(Path.of(explicit));
    }
    List<String> tried = new ArrayList<>();
    try {
      return loadFromLibraryPath();
    } catch (IOException | UnsatisfiedLinkError e) {
      tried.add("java.library.path (" + System.getProperty("java.library.path") + "): " + e.getMessage());
    }
    String resource = "io/adclick/native/" + platform() + "/" + FILE;
    try (InputStream in = open(resource)) {
      if (in == null) {
        tried.add("the class path and the modules: no " + resource + " (add the adclick jar with classifier " + platform() + ")");
      } else {
        return loadExtracted(in.readAllBytes());
      }
    } catch (IOException | UnsatisfiedLinkError e) {
      tried.add("the jar's " + resource + ", extracted (to another directory: -D" + EXTRACT + "=DIR): " + e);
    }
    throw new UnsatisfiedLinkError(
        "adclick: no " + FILE + " could be loaded. Tried: -D" + PATH + " (not set); " + String.join("; ", tried)
            + ". It needs glibc 2.28 or later, and does not load with musl.");
  }

  /**
   * Class path, jars merged into one, and modules of one loader: the directory's name is no name of a package, so it is open to
   * all. Modules of other loaders are found as providers, which is also why they are resolved at all.
   */
  private static InputStream open(String resource) throws IOException {
    InputStream in = NativeLibrary.class.getClassLoader().getResourceAsStream(resource);
    ModuleLayer layer = NativeLibrary.class.getModule().getLayer();
    if (in == null && layer != null) {
      for (NativeResource each : ServiceLoader.load(layer, NativeResource.class)) {
        if (each.platform().equals(platform())) {
          return each.open();
        }
      }
    }
    return in;
  }

  /** A path that was asked for is taken or fails: another library in its place would be a surprise. */
  private static String loadExplicit(Path path) {
    Path file = (Files.isDirectory(path) ? path.resolve(FILE) : path).toAbsolutePath();
    try {
      return loadFile(file);
    } catch (IOException | UnsatisfiedLinkError e) {
      throw new UnsatisfiedLinkError(
          "adclick: -D" + PATH + "=" + path + " (nothing else is tried when it is set): " + e.getMessage());
    }
  }

  private static String loadFromLibraryPath() throws IOException {
    try {
      System.loadLibrary(NAME);
      return "java.library.path";
    } catch (UnsatisfiedLinkError e) {
      if (!inAnotherLoader(e)) {
        throw e;
      }
      for (String each : System.getProperty("java.library.path").split(File.pathSeparator)) {
        Path file = Path.of(each, FILE);
        if (Files.isRegularFile(file)) {
          return loadFile(file.toAbsolutePath());
        }
      }
      throw e;
    }
  }

  private static String loadFile(Path file) throws IOException {
    try {
      System.load(file.toString());
      return file.toString();
    } catch (UnsatisfiedLinkError e) {
      if (!inAnotherLoader(e)) {
        throw e;
      }
      return loadCopy(Files.readAllBytes(file)) + ", as another class loader has " + file;
    }
  }

  /** A file belongs to the class loader that loads it first, until that is collected; there is no other sign than the words. */
  private static boolean inAnotherLoader(UnsatisfiedLinkError e) {
    return String.valueOf(e.getMessage()).contains("another classloader");
  }

  private static String loadExtracted(byte[] library) throws IOException {
    Path directory = extractTo();
    return directory == null ? loadCopy(library) : loadFile(extract(library, directory));
  }

  private static Path extractTo() {
    String directory = System.getProperty(EXTRACT);
    return directory == null || directory.isEmpty() ? null : Path.of(directory).toAbsolutePath();
  }

  /** Nobody else may write to a directory that is made here; once loaded, the file needs no name any more. */
  private static String loadCopy(byte[] library) throws IOException {
    Path directory = extractTo();
    if (directory != null) {
      Files.createDirectories(directory);
    }
    Path own = directory == null ? Files.createTempDirectory("adclick-") : Files.createTempDirectory(directory, "adclick-");
    Path file = own.resolve(FILE);
    try {
      Files.write(file, library);
      System.load(file.toString());
    } finally {
      Files.deleteIfExists(file);
      Files.deleteIfExists(own);
    }
    return "a copy that was at " + file;
  }

  /** Named by its content, so that processes share a file and versions do not meet; never written in place. */
  private static Path extract(byte[] library, Path directory) throws IOException {
    Files.createDirectories(directory);
    Path file = directory.resolve("libadclick_jni-" + digest(library) + ".so");
    if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), library)) {
      return file;
    }
    Path beside = Files.createTempFile(directory, "libadclick_jni-", ".tmp");
    try {
      Files.write(beside, library);
      try {
        Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } catch (AtomicMoveNotSupportedException e) {
        Files.move(beside, file, StandardCopyOption.REPLACE_EXISTING);
      }
    } finally {
      Files.deleteIfExists(beside);
    }
    return file;
  }

  private static String digest(byte[] bytes) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
      return HexFormat.of().formatHex(digest, 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  private static void checkVersions(String from) {
    int shim;
    try {
      shim = Native.shimVersion();
    } catch (UnsatisfiedLinkError e) {
      throw new UnsatisfiedLinkError("adclick: the library from " + from + " is not adclick's JNI library: " + e.getMessage());
    }
    if (shim != Native.SHIM_VERSION) {
      throw new UnsatisfiedLinkError(
          "adclick: the library from " + from + " has JNI version " + shim + ", these classes need " + Native.SHIM_VERSION
              + ": take both from one release");
    }
    if (Native.abiVersion() < Native.headerAbiVersion()) {
      throw new UnsatisfiedLinkError(
          "adclick: the library from " + from + " has ABI version " + Native.abiVersion() + ", its shim needs "
              + Native.headerAbiVersion());
    }
  }

  /** The classifier of this machine's jar, such as {@code linux-x86_64}. */
  static String platform() {
    String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String arch = System.getProperty("os.arch");
    return os + "-" + (arch.equals("amd64") ? "x86_64" : arch);
  }
}
