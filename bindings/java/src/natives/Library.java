package io.adclick.natives.@MODULE@;

import io.adclick.spi.NativeResource;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;

/** Opens {@code libadclick_jni.so} of this module. The Makefile puts in the platform: each has a module of its own. */
public final class Library implements NativeResource {
  private static final String RESOURCE = "/io/adclick/native/@PLATFORM@/libadclick_jni.so";

  @Override
  public String platform() {
    return "@PLATFORM@";
  }

  @Override
  public InputStream open() throws IOException {
    InputStream in = Library.class.getResourceAsStream(RESOURCE);
    if (in == null) {
      throw new FileNotFoundException("no " + RESOURCE + " in " + Library.class.getModule());
    }
    return in;
  }
}
