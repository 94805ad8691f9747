package org.npp4j.llamagen.tokenizer;

import java.util.Collection;
import java.util.List;
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
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Replaces every latent by the code with the nearest direction: y = c / |c|, the code of the codebook whose product with
 * z / |z| is largest.
 *
 * <ul>
 *   <li>input and output: [B, h, w, D], NHWC
 *   <li>parameter {@value #CODES}: [V, D], of any length above 0; without weight decay
 * </ul>
 *
 * <p>The choice has no gradient. In the backward pass the gradient with respect to y goes to z / |z| as it is (the
 * straight-through estimator), and this loss of an image is added to the network's score:
 *
 * <pre>L = weight x (mean |sg(z / |z|) - c / |c||^2 + commitment x mean |z / |z| - sg(c / |c|)|^2)</pre>
 *
 * <p>mean over the h x w x D values, sg: taken as constant. The first term moves the chosen codes, the second the latents.
 * The score reports both at the latents and codes of the last forward pass.
 *
 * <p>Source: van den Oord et al., "Neural Discrete Representation Learning" (arXiv 1711.00937), equation 3; unit lengths: Yu
 * et al., "Vector-quantized Image Modeling with Improved VQGAN" (arXiv 2110.04627).
 */
public class VectorQuantizer extends FeedForwardLayer {
    /** Key of the codes. */
    public static final String CODES = "codes";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int codebookSize;

    @JsonProperty
    private double codebookWeight;

    @JsonProperty
    private double commitment;

    @JsonProperty
    private double weight;

    private VectorQuantizer() {}

    private VectorQuantizer(Builder builder) {
        super(builder);
        codebookSize = builder.codebookSize;
        codebookWeight = builder.codebookWeight;
        commitment = builder.commitment;
        weight = builder.weight;
        nIn = builder.codebookDim;
        nOut = nIn;
        initializeConstraints(builder);
    }

    /** {@return V} */
    public int getCodebookSize() {
        return codebookSize;
    }

    /** {@return the factor of the term that moves codes} */
    public double getCodebookWeight() {
        return codebookWeight;
    }

    /** {@return the factor of the term that moves latents} */
    public double getCommitment() {
        return commitment;
    }

    /** {@return the factor of both terms} */
    public double getWeight() {
        return weight;
    }

    @Override
    public org.deeplearning4j.nn.api.Layer instantiate(
            NeuralNetConfiguration conf,
            Collection<TrainingListener> trainingListeners,
            int layerIndex,
            INDArray layerParamsView,
            boolean initializeParams,
            DataType networkDataType) {
        VectorQuantizerImpl layer = new VectorQuantizerImpl(conf, networkDataType);
        layer.setListeners(trainingListeners);
        layer.setIndex(layerIndex);
        layer.setParamsViewArray(layerParamsView);
        layer.setParamTable(initializer().init(conf, layerParamsView, initializeParams));
        layer.setConf(conf);
        return layer;
    }

    @Override
    public ParamInitializer initializer() {
        return Codes.INSTANCE;
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        setNIn(inputType, false);
        return inputType;
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        if (!(inputType instanceof InputType.InputTypeConvolutional images)
                || images.getFormat() != CNN2DFormat.NHWC
                || images.getChannels() != nIn) {
            throw new IllegalArgumentException("VectorQuantizer" + (layerName == null ? "" : " \"" + layerName + "\"")
                    + " of codes of " + nIn + " values works on latents [batch, height, width, " + nIn
                    + "] (InputType.convolutional(height, width, " + nIn + ", CNN2DFormat.NHWC)), got " + inputType);
        }
    }

    @Override
    public InputPreProcessor getPreProcessorForInputType(InputType inputType) {
        return null;
    }

    @Override
    public LayerMemoryReport getMemoryReport(InputType inputType) {
        long parameters = initializer().numParams(this);
        long updaterState = getIUpdater() == null ? 0 : getIUpdater().stateSize(parameters);
        return new LayerMemoryReport.Builder(layerName, getClass(), inputType, inputType)
                .standardMemory(parameters, updaterState)
                .workingMemory(0, 0, MemoryReport.CACHE_MODE_ALL_ZEROS, MemoryReport.CACHE_MODE_ALL_ZEROS)
                .cacheMemory(MemoryReport.CACHE_MODE_ALL_ZEROS, MemoryReport.CACHE_MODE_ALL_ZEROS)
                .build();
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof VectorQuantizer) || !super.equals(other)) {
            return false;
        }
        VectorQuantizer quantizer = (VectorQuantizer) other;
        return codebookSize == quantizer.codebookSize
                && codebookWeight == quantizer.codebookWeight
                && commitment == quantizer.commitment
                && weight == quantizer.weight;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), codebookSize, codebookWeight, commitment, weight);
    }

    /** The codes in the network's flat vector: row by row. */
    private static final class Codes implements ParamInitializer {
        static final Codes INSTANCE = new Codes();

        @Override
        public long numParams(NeuralNetConfiguration conf) {
            return numParams(conf.getLayer());
        }

        @Override
        public long numParams(Layer layer) {
            return ((VectorQuantizer) layer).codebookSize * ((VectorQuantizer) layer).nIn;
        }

        @Override
        public List<String> paramKeys(Layer layer) {
            return List.of(CODES);
        }

        @Override
        public List<String> weightKeys(Layer layer) {
            return List.of();
        }

        @Override
        public List<String> biasKeys(Layer layer) {
            return List.of();
        }

        @Override
        public boolean isWeightParam(Layer layer, String key) {
            return false;
        }

        @Override
        public boolean isBiasParam(Layer layer, String key) {
            return false;
        }

        @Override
        public Map<String, INDArray> init(NeuralNetConfiguration conf, INDArray paramsView, boolean initializeParams) {
            conf.addVariable(CODES);
            if (initializeParams) {
                // lengths near 1, directions evenly spread
                double deviation = 1 / Math.sqrt(((VectorQuantizer) conf.getLayer()).nIn);
                paramsView.assign(
                        Nd4j.randn(paramsView.dataType(), paramsView.shape()).muli(deviation));
            }
            return shaped(conf, paramsView);
        }

        @Override
        public Map<String, INDArray> getGradientsFromFlattened(NeuralNetConfiguration conf, INDArray gradientView) {
            return shaped(conf, gradientView);
        }

        private static Map<String, INDArray> shaped(NeuralNetConfiguration conf, INDArray flat) {
            VectorQuantizer layer = (VectorQuantizer) conf.getLayer();
            // [1, V D] -> [V, D]
            return Map.of(CODES, flat.reshape('c', layer.codebookSize, layer.nIn));
        }
    }

    /** Builds a {@link VectorQuantizer}. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int codebookSize;
        private final int codebookDim;
        private double codebookWeight = 1;
        private double commitment = 0.25;
        private double weight = 1;

        /**
         * A quantizer with a commitment of 0.25 and a weight of 1.
         *
         * @param codebookSize V
         * @param codebookDim D
         * @throws IllegalArgumentException if one is below 1
         */
        public Builder(int codebookSize, int codebookDim) {
            if (codebookSize < 1 || codebookDim < 1) {
                throw new IllegalArgumentException("A codebook needs at least one code of at least one value, got "
                        + codebookSize + " codes of " + codebookDim);
            }
            this.codebookSize = codebookSize;
            this.codebookDim = codebookDim;
        }

        /**
         * The factor of the term that moves codes.
         *
         * @param codebookWeight 0 or above; 1 by default
         * @return this
         * @throws IllegalArgumentException if it is out of its range
         */
        public Builder codebookWeight(double codebookWeight) {
            this.codebookWeight = requireFactor("codebookWeight", codebookWeight);
            return this;
        }

        /**
         * The factor of the term that moves latents.
         *
         * @param commitment 0 or above; 0.25 by default
         * @return this
         * @throws IllegalArgumentException if it is out of its range
         */
        public Builder commitment(double commitment) {
            this.commitment = requireFactor("commitment", commitment);
            return this;
        }

        /**
         * The factor of both terms, beside the reconstruction's loss.
         *
         * @param weight 0 or above; 1 by default
         * @return this
         * @throws IllegalArgumentException if it is out of its range
         */
        public Builder weight(double weight) {
            this.weight = requireFactor("weight", weight);
            return this;
        }

        private static double requireFactor(String name, double factor) {
            if (!(factor >= 0 && factor < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(name + " must be a finite number, 0 or above, got " + factor);
            }
            return factor;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new VectorQuantizer(this);
        }
    }
}
