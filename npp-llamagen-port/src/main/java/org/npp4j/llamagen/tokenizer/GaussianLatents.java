package org.npp4j.llamagen.tokenizer;

import java.util.Collection;
import java.util.Map;
import java.util.Objects;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.memory.LayerMemoryReport;
import org.deeplearning4j.nn.conf.memory.MemoryReport;
import org.deeplearning4j.nn.params.EmptyParamInitializer;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Draws latents from normal distributions, and keeps these near the unit normal distribution.
 *
 * <ul>
 *   <li>input: [B, h, w, 2 D], NHWC: means m, then log variances l, which count as {@value
 *       LatentDistribution#LEAST_LOG_VARIANCE} to {@value LatentDistribution#LARGEST_LOG_VARIANCE}
 *   <li>output: [B, h, w, D]; in training z = m + exp(l / 2) e with noise e, otherwise z = m
 * </ul>
 *
 * <p>The noise depends on the seed, the network's iteration and the place in the batch alone: a run that is resumed draws what
 * it would have drawn. This loss of an image is added to the network's score:
 *
 * <pre>L = weight x sum (m^2 + exp(l) - 1 - l) / 2</pre>
 *
 * <p>sum over the h x w x D numbers: the Kullback-Leibler divergence in nats. The score reports it at the last forward pass.
 *
 * <p>Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv 1312.6114), sections 2.4 and 3.
 */
public class GaussianLatents extends FeedForwardLayer {
    private static final long serialVersionUID = 1L;

    @JsonProperty
    private double weight;

    @JsonProperty
    private long seed;

    private GaussianLatents() {}

    private GaussianLatents(Builder builder) {
        super(builder);
        weight = builder.weight;
        seed = builder.seed;
        nIn = 2L * builder.latentChannels;
        nOut = builder.latentChannels;
        initializeConstraints(builder);
    }

    /** {@return the factor of the divergence} */
    public double getWeight() {
        return weight;
    }

    /** {@return the seed of the noise} */
    public long getSeed() {
        return seed;
    }

    @Override
    public org.deeplearning4j.nn.api.Layer instantiate(
            NeuralNetConfiguration conf,
            Collection<TrainingListener> trainingListeners,
            int layerIndex,
            INDArray layerParamsView,
            boolean initializeParams,
            DataType networkDataType) {
        GaussianLatentsImpl layer = new GaussianLatentsImpl(conf, networkDataType);
        layer.setListeners(trainingListeners);
        layer.setIndex(layerIndex);
        layer.setParamsViewArray(layerParamsView);
        layer.setParamTable(Map.of());
        layer.setConf(conf);
        return layer;
    }

    @Override
    public ParamInitializer initializer() {
        return EmptyParamInitializer.getInstance();
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        setNIn(inputType, false);
        InputType.InputTypeConvolutional moments = (InputType.InputTypeConvolutional) inputType;
        return InputType.convolutional(moments.getHeight(), moments.getWidth(), nOut, CNN2DFormat.NHWC);
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        if (!(inputType instanceof InputType.InputTypeConvolutional moments)
                || moments.getFormat() != CNN2DFormat.NHWC
                || moments.getChannels() != nIn) {
            throw new IllegalArgumentException("GaussianLatents" + (layerName == null ? "" : " \"" + layerName + "\"")
                    + " of " + nOut + " channels works on means and log variances [batch, height, width, " + nIn
                    + "] (InputType.convolutional(height, width, " + nIn + ", CNN2DFormat.NHWC)), got " + inputType);
        }
    }

    @Override
    public InputPreProcessor getPreProcessorForInputType(InputType inputType) {
        return null;
    }

    @Override
    public LayerMemoryReport getMemoryReport(InputType inputType) {
        return new LayerMemoryReport.Builder(layerName, getClass(), inputType, getOutputType(0, inputType))
                .standardMemory(0, 0)
                .workingMemory(0, 0, MemoryReport.CACHE_MODE_ALL_ZEROS, MemoryReport.CACHE_MODE_ALL_ZEROS)
                .cacheMemory(MemoryReport.CACHE_MODE_ALL_ZEROS, MemoryReport.CACHE_MODE_ALL_ZEROS)
                .build();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof GaussianLatents latents
                && super.equals(other)
                && weight == latents.weight
                && seed == latents.seed;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), weight, seed);
    }

    /** Builds {@link GaussianLatents}. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int latentChannels;
        private double weight = 1e-6;
        private long seed = 1;

        /**
         * A layer with a weight of 1e-6.
         *
         * @param latentChannels D
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder(int latentChannels) {
            if (latentChannels < 1) {
                throw new IllegalArgumentException("Latents need at least 1 channel, got " + latentChannels);
            }
            this.latentChannels = latentChannels;
        }

        /**
         * The factor of the divergence beside the reconstruction's loss.
         *
         * @param weight 0 or above; 1e-6 by default
         * @return this
         * @throws IllegalArgumentException if it is out of its range
         */
        public Builder weight(double weight) {
            if (!(weight >= 0 && weight < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException("weight must be a finite number, 0 or above, got " + weight);
            }
            this.weight = weight;
            return this;
        }

        /**
         * The seed of the noise.
         *
         * @param seed 1 by default
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new GaussianLatents(this);
        }
    }
}
