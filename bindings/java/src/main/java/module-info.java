/**
 * Click prediction, calibration and the ad auction inside the ad server's own process.
 *
 * <p>The native library is in the jar with the platform's classifier, a module of its own that is found on the same path. From
 * Java 24 on, native code asks for {@code --enable-native-access=io.adclick}.
 *
 * @uses io.adclick.spi.NativeResource
 */
module io.adclick {
  exports io.adclick;
  exports io.adclick.spi;

  uses io.adclick.spi.NativeResource;
}
