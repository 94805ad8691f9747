package org.npp4j.losses;

import java.util.Collection;
import java.util.Objects;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.conf.layers.LayerValidation;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.params.DefaultParamInitializer;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.activations.impl.ActivationIdentity;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.lossfunctions.ILossFunction;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchOutputLayerImpl;

/**
 * Linear head with the patch cross-entropy: z = x W (+ b), scored against every token of each position's patch.
 *
 * <p>The same loss as {@code OutputLayer} with {@link PatchCrossEntropy}, at lower cost: the logits are computed once an
 * iteration instead of twice, their gradient takes their place, and sequences stay in their own order. In addition it
 * takes masks for each token, and {@code scoreExamples} gives one score an example.
 *
 * <ul>
 *   <li>input: [B, K, D] (NWC) or [B, D, K] (NCW)
 *   <li>output: [B, K, V] or [B, V, K]: logits (IDENTITY, the default) or probabilities (SOFTMAX)
 *   <li>labels and masks: as for {@link PatchCrossEntropy}. A label mask decides alone; without one, a mask that comes
 *       through the network from the features says which positions count
 *   <li>score: mean cross-entropy in nats per token, plus the regularization terms of the whole network as everywhere in
 *       Deeplearning4j; {@link #crossEntropy} gives it without them
 *   <li>parameters: W [D, V], b [V] if there is a bias
 * </ul>
 *
 * <p>The patch side is not part of the configuration: it follows from the number of positions and the label length.
 *
 * <pre>{@code
 * new PatchOutputLayer.Builder(TokenGrid.of(16, 16)).nIn(768).nOut(16384).weightInit(WeightInit.ZERO).build()
 * }</pre>
 */
public class PatchOutputLayer extends BaseOutputLayer {
    private static final long serialVersionUID = 1L;

    private RNNFormat dataFormat;

    /** For JSON; use {@link Builder}. */
    public PatchOutputLayer() {}

    /**
     * Used by the builder.
     *
     * @param builder the settings
     */
    protected PatchOutputLayer(Builder builder) {
        super(builder);
        this.dataFormat = builder.dataFormat;
        initializeConstraints(builder);
    }

    /** {@return the token grid, or null if patches are runs of consecutive tokens} */
    public TokenGrid grid() {
        return ((PatchCrossEntropy) lossFn).getGrid();
    }

    /** {@return the order of the axes; null, which means NWC, until input types have set it} */
    public RNNFormat getDataFormat() {
        return dataFormat;
    }

    /**
     * Sets the order of the axes of input and output.
     *
     * @param dataFormat NWC or NCW
     */
    public void setDataFormat(RNNFormat dataFormat) {
        this.dataFormat = dataFormat;
    }

    /**
     * The mean cross-entropy of the last minibatch that the network was trained on or scored with, without
     * regularization terms.
     *
     * @param network a ComputationGraph or MultiLayerNetwork with exactly one PatchOutputLayer
     * @return nats per token; NaN before the first minibatch
     * @throws IllegalArgumentException if the network has none or several
     */
    public static double crossEntropy(Model network) {
        return PatchOutputLayerImpl.only(network, layers(network)).lastCrossEntropy();
    }

    /** The layers of either kind of network. */
    static Layer[] layers(Model network) {
        if (network instanceof ComputationGraph) {
            return ((ComputationGraph) network).getLayers();
        }
        if (network instanceof MultiLayerNetwork) {
            return ((MultiLayerNetwork) network).getLayers();
        }
        throw new IllegalArgumentException("Expected a ComputationGraph or a MultiLayerNetwork, got "
                + (network == null ? "null" : network.getClass().getName()));
    }

    @Override
    public Layer instantiate(
            NeuralNetConfiguration conf,
            Collection<TrainingListener> trainingListeners,
            int layerIndex,
            INDArray layerParamsView,
            boolean initializeParams,
            DataType networkDataType) {
        LayerValidation.assertNInNOutSet("PatchOutputLayer", getLayerName(), layerIndex, getNIn(), getNOut());
        PatchOutputLayerImpl layer = new PatchOutputLayerImpl(conf, networkDataType);
        layer.setListeners(trainingListeners);
        layer.setIndex(layerIndex);
        layer.setParamsViewArray(layerParamsView);
        layer.setParamTable(initializer().init(conf, layerParamsView, initializeParams));
        layer.setConf(conf);
        return layer;
    }

    @Override
    public ParamInitializer initializer() {
        return DefaultParamInitializer.getInstance();
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        InputType.InputTypeRecurrent sequence = requireSequence(inputType);
        return InputType.recurrent(nOut, sequence.getTimeSeriesLength(), sequence.getFormat());
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        InputType.InputTypeRecurrent sequence = requireSequence(inputType);
        if (dataFormat == null) {
            dataFormat = sequence.getFormat();
        }
        if (nIn <= 0 || override) {
            nIn = sequence.getSize();
        }
    }

    @Override
    public InputPreProcessor getPreProcessorForInputType(InputType inputType) {
        requireSequence(inputType);
        return null;
    }

    private InputType.InputTypeRecurrent requireSequence(InputType inputType) {
        if (!(inputType instanceof InputType.InputTypeRecurrent)) {
            throw new IllegalArgumentException("PatchOutputLayer (layer name: " + getLayerName()
                    + ") needs a sequence (InputType.recurrent), got " + inputType
                    + ". Put it behind a layer that gives one vector a position");
        }
        return (InputType.InputTypeRecurrent) inputType;
    }

    @Override
    public PatchOutputLayer clone() {
        return (PatchOutputLayer) super.clone();
    }

    @Override
    public boolean equals(Object other) {
        return this == other
                || other instanceof PatchOutputLayer
                        && super.equals(other)
                        && dataFormat == ((PatchOutputLayer) other).dataFormat;
    }

    @Override
    protected boolean canEqual(Object other) {
        return other instanceof PatchOutputLayer;
    }

    @Override
    public int hashCode() {
        return 31 * super.hashCode() + Objects.hashCode(dataFormat);
    }

    @Override
    public String toString() {
        return "PatchOutputLayer(nIn=" + nIn + ", nOut=" + nOut + ", hasBias=" + hasBias + ", activation="
                + getActivationFn() + ", dataFormat=" + dataFormat + ", loss=" + lossFn + ")";
    }

    /** Settings of a {@link PatchOutputLayer}: no bias and IDENTITY unless set otherwise. */
    @SuppressWarnings("unchecked") // build() of the base class returns any layer type its caller names
    public static class Builder extends BaseOutputLayer.Builder<Builder> {
        private RNNFormat dataFormat;

        /** Patches are runs of consecutive tokens, as in text. */
        public Builder() {
            this(null);
        }

        /**
         * Patches are those of a grid.
         *
         * @param grid the token grid, or null for runs of consecutive tokens
         */
        public Builder(TokenGrid grid) {
            super(new PatchCrossEntropy(grid));
            setActivationFn(new ActivationIdentity());
            setHasBias(false);
        }

        /**
         * The order of the axes of input and output. Unless it is set, it is that of the network's input types, and NWC
         * in a network without them.
         *
         * @param format NWC, [B, K, D], or NCW, [B, D, K]
         * @return this
         */
        public Builder dataFormat(RNNFormat format) {
            this.dataFormat = format;
            return this;
        }

        /**
         * The layer.
         *
         * @return the layer
         * @throws IllegalArgumentException if the activation is neither IDENTITY nor SOFTMAX, the loss is no
         *     PatchCrossEntropy, or nOut is not set
         */
        @Override
        public PatchOutputLayer build() {
            PatchCrossEntropy.requireSoftmaxOrIdentity(getActivationFn());
            ILossFunction loss = getLossFn();
            if (!(loss instanceof PatchCrossEntropy)) {
                throw new IllegalArgumentException("The loss of PatchOutputLayer is PatchCrossEntropy, got " + loss
                        + ". Use a stock output layer for another loss");
            }
            if (getNOut() < 1) {
                throw new IllegalArgumentException("PatchOutputLayer needs the size of the vocabulary, got nOut = "
                        + getNOut() + ". Set .nOut(V)");
            }
            return new PatchOutputLayer(this);
        }
    }
}
