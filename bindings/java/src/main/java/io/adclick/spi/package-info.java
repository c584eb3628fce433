/** For those who build {@link io.adclick} for a platform of their own; programs that use it need nothing of this. */
package io.adclick.spi;
