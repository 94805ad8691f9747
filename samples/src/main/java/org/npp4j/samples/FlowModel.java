package org.npp4j.samples;

import java.util.Locale;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.EcarSampler;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.StageNoise;
import org.npp4j.ecar.baseline.DitCheckpoint;
import org.npp4j.ecar.baseline.DitCost;
import org.npp4j.ecar.baseline.DitNoise;
import org.npp4j.ecar.baseline.DitSampler;

/** A trained model that draws latents by a flow, and knows what that costs. */
sealed interface FlowModel {
    /** {@return what it is, in a few words} */
    String name();

    /** {@return how many parameters} */
    long parameters();

    /** {@return operations of training on an image once} */
    double trainingOperations();

    /**
     * Operations of drawing an image.
     *
     * @param steps of the flow, or of each of its stages
     * @param scale of the guidance
     */
    double operations(int steps, double scale);

    /** {@return what draws with the model's weights} */
    Drawing drawing();

    /** Draws batches of latents; keeps its memory from one to the next. */
    interface Drawing extends AutoCloseable {
        /**
         * Draws.
         *
         * @param classes of the images
         * @param first number of the first image, which decides its noise
         * @param seed of the noise
         * @param steps of the flow, or of each of its stages
         * @param scale of the guidance
         * @return latents [images, C, G, G]
         */
        INDArray draw(int[] classes, long first, long seed, int steps, double scale);

        @Override
        default void close() {}
    }

    /** In stages. */
    record Ecar(EcarCheckpoint.Model model) implements FlowModel {
        @Override
        public String name() {
            return name(model.config());
        }

        static String name(EcarConfig config) {
            return "ECAR, " + config.stages() + " stages, "
                    + (config.head() instanceof FlowHead.Mlp ? "MLP" : "transformer") + " head";
        }

        @Override
        public long parameters() {
            return model.config().parameters();
        }

        @Override
        public double trainingOperations() {
            return EcarCost.of(model.config()).ofTrainingStep();
        }

        @Override
        public double operations(int steps, double scale) {
            return EcarCost.of(model.config()).ofImage(FlowSampling.of(steps, scale));
        }

        @Override
        public Drawing drawing() {
            EcarSampler sampler = new EcarSampler(model.config(), model.network());
            return new Drawing() {
                @Override
                public INDArray draw(int[] classes, long first, long seed, int steps, double scale) {
                    return sampler.generate(
                            classes,
                            FlowSampling.of(steps, scale),
                            StageNoise.of(model.config(), seed, first, classes.length, EcarSampleCommand.NOISE));
                }

                @Override
                public void close() {
                    sampler.close();
                }
            };
        }
    }

    /** At once: the baseline. */
    record Dit(DitCheckpoint.Model model) implements FlowModel {
        @Override
        public String name() {
            return String.format(
                    Locale.ROOT,
                    "DiT, %d layers of %d",
                    model.config().layers(),
                    model.config().width());
        }

        @Override
        public long parameters() {
            return model.config().parameters();
        }

        @Override
        public double trainingOperations() {
            return DitCost.of(model.config()).ofTrainingStep();
        }

        @Override
        public double operations(int steps, double scale) {
            return DitCost.of(model.config()).ofImage(steps, scale);
        }

        @Override
        public Drawing drawing() {
            DitSampler sampler = new DitSampler(model.config(), model.network());
            return (classes, first, seed, steps, scale) -> sampler.generate(
                    classes,
                    steps,
                    scale,
                    DitNoise.of(model.config(), seed, first, classes.length, EcarSampleCommand.NOISE));
        }
    }
}
