package io.adclick.spi;

import java.io.IOException;
import java.io.InputStream;

/**
 * A platform's native library in a module of its own. The jars with a classifier provide it, so that a program on the module
 * path resolves them without naming them. On the class path it is not needed.
 */
public interface NativeResource {
  /**
   * The platform.
   *
   * @return the classifier, such as {@code linux-x86_64}
   */
  String platform();

  /**
   * Opens the library's file, which the caller closes.
   *
   * @return the bytes of {@code libadclick_jni.so}
   * @throws IOException when it cannot be read
   */
  InputStream open() throws IOException;
}
