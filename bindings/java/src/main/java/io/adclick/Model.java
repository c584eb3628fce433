package io.adclick;

/**
 * The live model in figures.
 *
 * @param generation the generation's id
 * @param width columns of a ready input ({@link DenseInput})
 * @param requestWidth of them, those of the request
 * @param heads 1: pCTR; 2: pCTR and pCVR
 * @param hasWide whether it has a wide part, which ready inputs cannot carry
 * @param inputs inputs that {@link Engine#inputs} lists
 * @param features features, of which several may read one input
 * @param tables tables that it reads
 */
public record Model(
    long generation, int width, int requestWidth, int heads, boolean hasWide, int inputs, int features, int tables) {
  Model(Frame frame) {
    this(
        frame.resultLong(Layout.MODEL_GENERATION),
        frame.resultInt(Layout.MODEL_WIDTH),
        frame.resultInt(Layout.MODEL_REQUEST_WIDTH),
        frame.resultInt(Layout.MODEL_N_HEADS),
        (frame.resultInt(Layout.MODEL_FLAGS) & Constants.MODEL_WIDE) != 0,
        frame.resultInt(Layout.MODEL_N_INPUTS),
        frame.resultInt(Layout.MODEL_N_FEATURES),
        frame.resultInt(Layout.MODEL_N_TABLES));
  }
}
