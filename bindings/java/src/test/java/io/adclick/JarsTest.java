package io.adclick;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.module.Configuration;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.zip.ZipEntry;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The jars as programs use them: on the class path, as modules, merged into one, and in several class loaders. */
@Timeout(300)
class JarsTest {
  private static final Path CLASSES = Path.of(System.getProperty("adclick.jar"));
  private static final Path NATIVES = Path.of(System.getProperty("adclick.native.jar"));
  private static final String NATIVE_MODULE = "io.adclick.natives." + NativeLibrary.platform().replace('-', '.');
  private static final Path HOME = Path.of(System.getProperty("java.home"));
  /** With the words that Java 24 and later have for native code that nobody allowed. */
  private static final String WARNING = "WARNING: A restricted method";

  /** A program of another package: it opens an engine and decides. As a module, and as classes. */
  private static final String PROGRAM =
      """
      package shop;

      import io.adclick.*;
      import java.nio.file.Path;

      public class Main {
        public static void main(String[] arguments) {
          System.out.println(decide(arguments[0]));
        }

        public static String decide(String bundles) {
          try (Engine engine = Engine.open(Path.of(bundles)); Scorer scorer = engine.newScorer(10)) {
            Candidates candidates = new Candidates(10, 0);
            candidates.add(Adclick.hash("a1")).bid(BidKind.CPC, 500_000);
            Winners winners = new Winners(1);
            scorer.decide(new Request(1).timeMicros(1).slots(1), candidates, winners);
            return "winners " + winners.size() + ", " + Adclick.libraryPath() + ", in " + Engine.class.getModule();
          }
        }
      }
      """;

  @TempDir static Path directory;
  private static Path program;
  private static Path module;

  @BeforeAll
  static void compile() throws Exception {
    Path source = Files.createDirectories(directory.resolve("source/shop")).resolve("Main.java");
    Path info = directory.resolve("source/module-info.java");
    Files.writeString(source, PROGRAM);
    Files.writeString(info, "module shop { requires io.adclick; exports shop; }");
    program = directory.resolve("program");
    module = directory.resolve("module");
    javac("-cp", CLASSES.toString(), "-d", program.toString(), source.toString());
    javac("-p", CLASSES.toString(), "-d", module.toString(), source.toString(), info.toString());
  }

  private static void javac(String... arguments) {
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    int status = ToolProvider.getSystemJavaCompiler().run(null, told, told, arguments);
    assertEquals(0, status, told.toString(StandardCharsets.UTF_8));
  }

  private static String path(Path... entries) {
    return String.join(File.pathSeparator, List.of(entries).stream().map(Path::toString).toList());
  }

  private static Child run(Path home, String... arguments) throws Exception {
    List<String> all = new ArrayList<>(List.of(arguments));
    all.add(Ids.BUNDLES.toString());
    return Child.java(home, all);
  }

  private static String works(Child child) {
    assertEquals(0, child.status, child.output);
    assertTrue(child.output.contains("winners 1, "), child.output);
    return child.output;
  }

  /** Another JDK beside this one that asks for native access (Java 24 and later). */
  private static Path newer() throws Exception {
    List<Path> siblings;
    try (var all = Files.list(HOME.toRealPath().getParent())) {
      siblings = all.filter(each -> Files.isRegularFile(each.resolve("release"))).sorted().toList();
    }
    for (Path each : siblings) {
      Properties release = new Properties();
      try (InputStream in = Files.newInputStream(each.resolve("release"))) {
        release.load(in);
      }
      String version = release.getProperty("JAVA_VERSION", "0").replace("\"", "");
      if (Integer.parseInt(version.split("[.+-]")[0]) >= 24) {
        return each;
      }
    }
    assumeTrue(false, "skipped: there is no JDK 24 or later beside " + HOME);
    return null;
  }

  @Test
  void theJarsAreModules() throws Exception {
    ModuleDescriptor classes = ModuleFinder.of(CLASSES).find("io.adclick").orElseThrow().descriptor();
    assertFalse(classes.isAutomatic());
    assertFalse(ModuleFinder.of(NATIVES).find(NATIVE_MODULE).orElseThrow().descriptor().isAutomatic());
    try (JarFile jar = new JarFile(CLASSES.toFile())) {
      Attributes manifest = jar.getManifest().getMainAttributes();
      assertEquals("ALL-UNNAMED", manifest.getValue("Enable-Native-Access"));
      assertTrue(jar.getEntry("META-INF/LICENSE-MIT") != null);
    }
  }

  @Test
  void onTheClassPath() throws Exception {
    String output = works(run(HOME, "-cp", path(CLASSES, NATIVES, program), "shop.Main"));
    assertTrue(output.contains("in unnamed module"), output);
  }

  @Test
  void asModules() throws Exception {
    // The program requires io.adclick; nobody names the module with the library.
    String output = works(run(HOME, "-p", path(CLASSES, NATIVES, module), "-m", "shop/shop.Main"));
    assertTrue(output.contains("in module io.adclick"), output);
    // Modules on one path, and the library's jar on the other.
    works(run(HOME, "-p", path(CLASSES, module), "-cp", NATIVES.toString(), "-m", "shop/shop.Main"));
    // A program that is no module.
    works(run(HOME, "-p", path(CLASSES, NATIVES), "--add-modules", "io.adclick", "-cp", program.toString(), "shop.Main"));
  }

  @Test
  void asModulesOfALoaderEach() throws Exception {
    assertTrue(inLayer().contains("in module io.adclick"));
  }

  private static String inLayer() throws Exception {
    ModuleLayer boot = ModuleLayer.boot();
    ModuleFinder finder = ModuleFinder.of(CLASSES, NATIVES, module);
    Configuration resolved = boot.configuration().resolveAndBind(finder, ModuleFinder.of(), Set.of("shop"));
    ClassLoader parent = ClassLoader.getPlatformClassLoader();
    ModuleLayer layer = ModuleLayer.defineModulesWithManyLoaders(resolved, List.of(boot), parent).layer();
    return decide(layer.findLoader("shop"));
  }

  private static String decide(ClassLoader loader) throws Exception {
    Class<?> main = loader.loadClass("shop.Main");
    return (String) main.getMethod("decide", String.class).invoke(null, Ids.BUNDLES.toString());
  }

  @Test
  void nativeAccessIsAllowedByName() throws Exception {
    Path home = newer();
    String classPath = path(CLASSES, NATIVES, program);
    String modulePath = path(CLASSES, NATIVES, module);
    assertTrue(works(run(home, "-cp", classPath, "shop.Main")).contains(WARNING), "or the two below say nothing");
    String asked = works(run(home, "-p", modulePath, "-m", "shop/shop.Main"));
    assertTrue(asked.contains("--enable-native-access=io.adclick"), asked);
    List<Child> allowed =
        List.of(
            run(home, "--enable-native-access=ALL-UNNAMED", "-cp", classPath, "shop.Main"),
            run(home, "--enable-native-access=io.adclick", "-p", modulePath, "-m", "shop/shop.Main"),
            run(home, "-jar", merged("allowed.jar", false).toString()));
    for (Child each : allowed) {
      assertFalse(works(each).contains("WARNING"), each.output);
    }
  }

  @Test
  void mergedIntoOneJar() throws Exception {
    works(run(HOME, "-jar", merged("merged.jar", false).toString()));
  }

  @Test
  void movedToAnotherPackage() throws Exception {
    Child child = run(HOME, "-jar", merged("moved.jar", true).toString());
    assertEquals(1, child.status, child.output);
    assertTrue(child.output.contains("moved to the package ao.adclick"), child.output);
    assertTrue(child.output.contains("exclude io.adclick from the relocation"), child.output);
  }

  /** All classes and resources in one jar, as shading makes it; moved: with io.adclick renamed everywhere. */
  private static Path merged(String name, boolean moved) throws Exception {
    Manifest manifest;
    try (JarFile jar = new JarFile(CLASSES.toFile())) {
      manifest = jar.getManifest();
    }
    manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, "shop.Main");
    Path file = directory.resolve(name);
    try (OutputStream out = Files.newOutputStream(file); JarOutputStream to = new JarOutputStream(out, manifest)) {
      for (Path each : List.of(CLASSES, NATIVES)) {
        try (JarFile jar = new JarFile(each.toFile())) {
          for (var entry : (Iterable<java.util.jar.JarEntry>) jar.stream()::iterator) {
            if (!entry.isDirectory() && !entry.getName().startsWith("META-INF") && !entry.getName().startsWith("module-info")) {
              add(to, entry.getName(), jar.getInputStream(entry).readAllBytes(), moved);
            }
          }
        }
      }
      add(to, "shop/Main.class", Files.readAllBytes(program.resolve("shop/Main.class")), moved);
    }
    return file;
  }

  /** The new name has the length of the old one, so that constants may be rewritten where they stand. */
  private static void add(JarOutputStream to, String name, byte[] bytes, boolean moved) throws Exception {
    String text = new String(bytes, StandardCharsets.ISO_8859_1);
    if (moved) {
      name = name.replace("io/adclick", "ao/adclick");
      text = text.replace("io/adclick", "ao/adclick").replace("io.adclick", "ao.adclick");
    }
    to.putNextEntry(new ZipEntry(name));
    to.write(text.getBytes(StandardCharsets.ISO_8859_1));
    to.closeEntry();
  }

  /** Loads the classes three times, twice at once, and once more when the second is gone: what web applications do. */
  static final class Loaders {
    private static final List<Object> KEPT = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
      for (int i = 0; i < 2; i++) {
        URLClassLoader loader = loader(arguments);
        System.out.println(decide(loader));
        KEPT.add(loader);
      }
      WeakReference<?> gone = new WeakReference<>(KEPT.remove(1));
      // The cleaner of the binding ends with its loader, in a thread that looks once in a while.
      for (int i = 0; i < 1000 && gone.get() != null; i++) {
        System.gc();
        Thread.sleep(10);
      }
      System.out.println(gone.get() == null ? "collected" : "kept");
      System.out.println(decide(loader(arguments)));
    }

    private static URLClassLoader loader(String[] entries) throws Exception {
      List<URL> urls = new ArrayList<>();
      for (String each : entries) {
        urls.add(Path.of(each).toUri().toURL());
      }
      return new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader());
    }
  }

  private static void assertLoaders(Path home, String... options) throws Exception {
    List<String> all = new ArrayList<>(List.of("-Dadclick.test.dir=" + Ids.DIR, "-Dadclick.jar=" + CLASSES));
    all.add("-Dadclick.native.jar=" + NATIVES);
    all.addAll(List.of(options));
    all.addAll(List.of("-cp", Child.classPath(false), Loaders.class.getName()));
    all.addAll(List.of(CLASSES.toString(), NATIVES.toString(), program.toString()));
    Child child = Child.java(home, all);
    assertEquals(0, child.status, child.output);
    assertEquals(3, child.output.split("winners 1, ", -1).length - 1, child.output);
    assertTrue(child.output.contains("collected"), child.output);
  }

  @Test
  void inSeveralClassLoaders() throws Exception {
    severalClassLoaders(HOME);
  }

  @Test
  void inSeveralClassLoadersOfANewerJava() throws Exception {
    severalClassLoaders(newer());
  }

  private static void severalClassLoaders(Path home) throws Exception {
    Path to = Files.createTempDirectory(directory, "extracted");
    assertLoaders(home, "-Djava.library.path=/none");
    assertLoaders(home, "-Djava.library.path=/none", "-Dadclick.library.extract.dir=" + to);
    try (var files = Files.list(to)) {
      assertEquals(1, files.count(), "what a second loader needs is left behind");
    }
    assertLoaders(home, "-Dadclick.library.path=" + Child.library());
    assertLoaders(home, "-Djava.library.path=" + Child.library().getParent());
  }
}
