package org.npp4j.ecar.baseline;

import org.npp4j.layers.AdaptiveNormBlock;
import org.npp4j.layers.AdaptiveNormProjection;
import org.npp4j.layers.TimeEmbedding;

/**
 * Floating-point operations of a diffusion transformer, counted as {@link org.npp4j.ecar.EcarCost} does: a multiply-add is
 * two. The "Gflops" of the DiT paper are multiply-adds: half of these.
 *
 * @param velocity of one image: one pass of the network
 */
public record DitCost(double velocity) {
    private static final int PASSES_PER_STEP = 3;

    /**
     * The cost of a model.
     *
     * @param config the model
     * @return its operations
     */
    public static DitCost of(DitConfig config) {
        int positions = 1 + config.tokens();
        AdaptiveNormBlock block = new AdaptiveNormBlock.Builder(config.heads(), config.feedForwardWidth())
                .nIn(config.width())
                .build();
        AdaptiveNormProjection projection = new AdaptiveNormProjection.Builder(config.tokenWidth())
                .nIn(config.width())
                .build();
        TimeEmbedding time = new TimeEmbedding.Builder(config.width()).build();
        return new DitCost(2.0 * config.tokens() * config.tokenWidth() * config.width()
                + time.forwardOperations(1)
                + config.layers() * block.forwardOperations(positions)
                + projection.forwardOperations(positions));
    }

    /**
     * Operations of drawing an image.
     *
     * @param steps of the flow
     * @param scale of the guidance; unless it is 1 everything is computed twice
     * @return operations
     */
    public double ofImage(int steps, double scale) {
        return (scale == 1 ? 1 : 2) * steps * velocity;
    }

    /** {@return operations of training on an image once: three forward passes, as the backward pass counts as two} */
    public double ofTrainingStep() {
        return PASSES_PER_STEP * velocity;
    }
}
