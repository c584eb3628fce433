package io.adclick;

/**
 * The ad cache of a generation, or what it would take ({@link EngineOptions#adCacheMib}).
 *
 * @param state whether there is one, or why not
 * @param ads ads whose sums it holds
 * @param bytes bytes that it holds
 * @param bytesNeeded bytes that it takes, or would take; 0 when no sums can be kept
 */
public record AdCache(AdCacheState state, long ads, long bytes, long bytesNeeded) {
  AdCache(Frame frame) {
    this(
        AdCacheState.of(frame.resultInt(Layout.AD_CACHE_STATE)),
        frame.resultLong(Layout.AD_CACHE_N_ADS),
        frame.resultLong(Layout.AD_CACHE_BYTES),
        frame.resultLong(Layout.AD_CACHE_BYTES_NEEDED));
  }
}
