package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.weights.WeightInit;
import org.npp4j.layers.AdaptiveNormMlp;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.FlowEmbedding;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.TransformerBlock;

/**
 * What turns the state of a stage, the time in it and the conditions into velocities: layers of the network, one behind the
 * other. The first takes [B, T, C + 1 + D], the last gives [B, T, C]; each takes all stages, or a single one.
 *
 * <p>Reconstruction: the abstract of ECAR names no head. {@link Mlp} is that of MAR (arXiv 2406.11838), {@link Grid} a small
 * transformer as of next-scale models; at equal operations it draws the better pictures, so it is the default.
 */
public sealed interface FlowHead permits FlowHead.Mlp, FlowHead.Grid {
    /**
     * A layer of the head.
     *
     * @param name in the network
     * @param builder of the layer
     */
    record Part(String name, FeedForwardLayer.Builder<?> builder) {}

    /** {@return W} */
    int width();

    /** {@return blocks of the head} */
    int blocks();

    /**
     * The layers, without weight decay.
     *
     * @param config of the model
     * @return new builders, in the order of the layers
     */
    List<Part> layers(EcarConfig config);

    /** State, time and condition side by side. */
    private static int inputWidth(EcarConfig config) {
        return config.channels() + 1 + config.width();
    }

    /**
     * The parameters under their names in a checkpoint.
     *
     * @param config of the model
     * @return all of them, in the order of PyTorch's {@code state_dict()}
     */
    List<EcarParameter> parameters(EcarConfig config);

    /**
     * Each token for itself: an MLP whose norms time and condition modulate ({@link AdaptiveNormMlp}).
     *
     * @param width W, at least 1
     * @param blocks at least 0
     */
    record Mlp(int width, int blocks) implements FlowHead {
        private static final String LAYER = "head";

        /**
         * Checks the sizes.
         *
         * @param width at least 1
         * @param blocks at least 0
         */
        public Mlp {
            if (width < 1 || blocks < 0) {
                throw new IllegalArgumentException("An MLP head needs a width of at least 1 and at least 0 blocks, got"
                        + " width " + width + " and " + blocks + " blocks");
            }
        }

        @Override
        public List<Part> layers(EcarConfig config) {
            // PyTorch's own initialisation of linear layers: uniform, up to 1 / sqrt(in)
            return List.of(new Part(
                    LAYER,
                    new AdaptiveNormMlp.Builder(config.stageLengths(), config.channels(), width, blocks)
                            .nIn(inputWidth(config))
                            .weightInit(WeightInit.UNIFORM)));
        }

        @Override
        public List<EcarParameter> parameters(EcarConfig config) {
            List<EcarParameter> all = EcarParameter.ofFlowLayer(config, LAYER, width);
            String ours = LAYER + "_";
            for (int i = 0; i < blocks; i++) {
                String block = "head.blocks." + i + ".";
                EcarParameter.linear(
                        all,
                        block + "mod",
                        ours + AdaptiveNormMlp.modulationWeight(i),
                        ours + AdaptiveNormMlp.modulationBias(i),
                        3L * width,
                        width);
                EcarParameter.linear(
                        all,
                        block + "mlp.0",
                        ours + AdaptiveNormMlp.inWeight(i),
                        ours + AdaptiveNormMlp.inBias(i),
                        width,
                        width);
                EcarParameter.linear(
                        all,
                        block + "mlp.2",
                        ours + AdaptiveNormMlp.outWeight(i),
                        ours + AdaptiveNormMlp.outBias(i),
                        width,
                        width);
            }
            EcarParameter.linear(
                    all,
                    "head.mod",
                    ours + AdaptiveNormMlp.MODULATION_WEIGHT,
                    ours + AdaptiveNormMlp.MODULATION_BIAS,
                    2L * width,
                    width);
            EcarParameter.linear(
                    all,
                    "head.out",
                    ours + AdaptiveNormMlp.OUT_WEIGHT,
                    ours + AdaptiveNormMlp.OUT_BIAS,
                    config.channels(),
                    width);
            return all;
        }
    }

    /**
     * The tokens of a stage see each other: transformer blocks over the stage's grid, behind a {@link FlowEmbedding}. The names
     * of its parameters follow those of the MLP and of the blocks; no published checkpoint has them.
     *
     * @param width W, a multiple of 4 x heads
     * @param blocks at least 1
     * @param heads at least 1
     */
    record Grid(int width, int blocks, int heads) implements FlowHead {
        private static final String EMBEDDING = "headEmbedding";
        private static final String BLOCK = "headBlock";
        private static final String NORM = "headNorm";
        private static final String OUT = "headOutput";

        /**
         * Checks the sizes.
         *
         * @param width a multiple of 4 x heads
         * @param blocks at least 1
         * @param heads at least 1
         */
        public Grid {
            if (blocks < 1 || heads < 1 || width < 1 || width % (4 * heads) != 0) {
                throw new IllegalArgumentException(
                        "A transformer head needs at least one block and one head, and a width"
                                + " that is a multiple of 4 x heads, got width " + width + ", " + blocks
                                + " blocks and " + heads
                                + " heads");
            }
        }

        @Override
        public List<Part> layers(EcarConfig config) {
            List<Part> parts = new ArrayList<>();
            parts.add(new Part(
                    EMBEDDING,
                    new FlowEmbedding.Builder(config.stageLengths(), config.channels(), width)
                            .nIn(inputWidth(config))
                            .weightInit(WeightInit.UNIFORM)));
            for (int i = 0; i < blocks; i++) {
                parts.add(new Part(
                        BLOCK + i,
                        new TransformerBlock.Builder(heads, EcarConfig.feedForwardWidth(width))
                                .nIn(width)
                                .mask(AttentionMask.withinBlocks(
                                        config.stageLengths().getLengths()))));
            }
            parts.add(new Part(NORM, new RmsNorm.Builder().nIn(width)));
            parts.add(new Part(
                    OUT,
                    new LinearProjection.Builder(config.channels()).nIn(width).weightInit(WeightInit.ZERO)));
            return parts;
        }

        @Override
        public List<EcarParameter> parameters(EcarConfig config) {
            List<EcarParameter> all = EcarParameter.ofFlowLayer(config, EMBEDDING, width);
            for (int i = 0; i < blocks; i++) {
                EcarParameter.block(all, "head.blocks." + i + ".", BLOCK + i, width);
            }
            all.add(new EcarParameter("head.norm.weight", NORM + "_" + RmsNorm.GAIN, List.of((long) width), false, 0));
            EcarParameter.linear(
                    all,
                    "head.out",
                    OUT + "_" + LinearProjection.WEIGHT,
                    OUT + "_" + LinearProjection.BIAS,
                    config.channels(),
                    width);
            return all;
        }
    }
}
