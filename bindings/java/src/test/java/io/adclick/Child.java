package io.adclick;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A Java virtual machine of its own, for what can be done once in one only. */
final class Child {
  final int status;
  final String output;

  private Child(int status, String output) {
    this.status = status;
    this.output = output;
  }

  /** Where the Makefile puts the native library, as it lies in the jar. */
  static Path natives() {
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
      if (entry.endsWith("native")) {
        return Path.of(entry);
      }
    }
    throw new IllegalStateException("no directory of native libraries on the class path");
  }

  static Path library() {
    return natives().resolve("io/adclick/native").resolve(NativeLibrary.platform()).resolve("libadclick_jni.so");
  }

  /** This class path, with or without what holds the native library. */
  static String classPath(boolean withNatives) {
    List<String> entries = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
      if (withNatives || !Path.of(entry).equals(natives())) {
        entries.add(entry);
      }
    }
    return String.join(File.pathSeparator, entries);
  }

  static Child run(String classPath, Class<?> main, String... options) throws Exception {
    return run(classPath, main, new String[0], options);
  }

  static Child run(String classPath, Class<?> main, String[] arguments, String... options) throws Exception {
    List<String> command = new ArrayList<>(List.of("-Xmx128m", "-Dadclick.test.dir=" + Ids.DIR));
    command.addAll(List.of(options));
    command.addAll(List.of("-cp", classPath, main.getName()));
    command.addAll(List.of(arguments));
    return java(Path.of(System.getProperty("java.home")), command);
  }

  /** Runs `java` of the JDK at `home`. */
  static Child java(Path home, List<String> arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of(home.resolve("bin/java").toString()));
    command.addAll(arguments);
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (!process.waitFor(60, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new AssertionError("the child does not end: " + output);
    }
    return new Child(process.exitValue(), output);
  }
}
