/** The native library of {@code io.adclick} for @PLATFORM@. */
@SuppressWarnings("module") // a name that ends in digits
module io.adclick.natives.@MODULE@ {
  requires io.adclick;

  provides io.adclick.spi.NativeResource with io.adclick.natives.@MODULE@.Library;
}
