package org.npp4j.losses.impl;

import java.util.Arrays;
import org.deeplearning4j.exception.DL4JInvalidInputException;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.gradient.DefaultGradient;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.layers.BaseOutputLayer;
import org.deeplearning4j.nn.layers.FrozenLayerWithBackprop;
import org.deeplearning4j.nn.params.DefaultParamInitializer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.activations.impl.ActivationSoftmax;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.CustomOp;
import org.nd4j.linalg.api.ops.impl.transforms.custom.SoftMax;
import org.nd4j.linalg.api.shape.Shape;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.impl.RegularizationScore;
import org.npp4j.layers.kernel.Products;
import org.npp4j.losses.PatchOutputLayer;

/**
 * Run-time half of {@link PatchOutputLayer}.
 *
 * <p>A training iteration is one {@link #backpropGradient}: logits, loss and gradients. {@link #computeScore}, which the
 * network calls next, takes the loss from there. Rows are batch-major, so that an NWC input needs no copy.
 */
public class PatchOutputLayerImpl extends BaseOutputLayer<PatchOutputLayer> {
    private static final long serialVersionUID = 1L;

    /** The mean loss of the last backward pass, until the score has been asked for; NaN if there is none. */
    private transient double scoreOfBackward = Double.NaN;

    private transient boolean backwardDone;
    private transient double lastCrossEntropy = Double.NaN;

    /**
     * Made by the configuration.
     *
     * @param conf the configuration
     * @param dataType of parameters and activations
     */
    public PatchOutputLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * The only layer of this kind among the layers of a network.
     *
     * @param network the network, for the message
     * @param layers its layers
     * @return the layer
     * @throws IllegalArgumentException if there is none or more than one
     */
    public static PatchOutputLayerImpl only(Model network, Layer[] layers) {
        PatchOutputLayerImpl found = null;
        for (Layer candidate : layers) {
            Layer layer = candidate instanceof FrozenLayerWithBackprop
                    ? ((FrozenLayerWithBackprop) candidate).getInsideLayer()
                    : candidate;
            if (layer instanceof PatchOutputLayerImpl) {
                if (found != null) {
                    throw new IllegalArgumentException(
                            "The network has several PatchOutputLayers; ask the one you mean: ((PatchOutputLayerImpl)"
                                    + " graph.getLayer(name)).lastCrossEntropy()");
                }
                found = (PatchOutputLayerImpl) layer;
            }
        }
        if (found == null) {
            throw new IllegalArgumentException(
                    "The " + network.getClass().getSimpleName() + " has no PatchOutputLayer. Make it the output layer");
        }
        return found;
    }

    /**
     * The mean cross-entropy of the last minibatch that was trained on or scored, without regularization terms.
     *
     * @return nats per token; NaN before the first minibatch
     */
    public double lastCrossEntropy() {
        return lastCrossEntropy;
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = inputRows(training, ArrayType.FF_WORKING_MEM, workspaceMgr);
        INDArray z = logits(x, training, ArrayType.ACTIVATIONS, workspaceMgr);
        if (layerConf().getActivationFn() instanceof ActivationSoftmax) {
            Nd4j.exec((CustomOp) new SoftMax(z, z, 1));
        }
        return toSequence(z);
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        requireInputAndLabels();
        INDArray x = inputRows(true, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray z = logits(x, true, ArrayType.BP_WORKING_MEM, workspaceMgr);
        PatchTargets targets = targets(z);
        lastCrossEntropy = targets.replaceByGradient(z).mean();
        scoreOfBackward = lastCrossEntropy;
        backwardDone = true;
        double scale = targets.gradientScale();

        // dW [D, V] = X' dZ, straight into the network's gradient; X [R, D], dZ [R, V]
        INDArray dW = gradientViews.get(DefaultParamInitializer.WEIGHT_KEY);
        Products.linearWeightGradient(x, z, dW, scale);
        Gradient gradient = new DefaultGradient();
        gradient.setGradientFor(DefaultParamInitializer.WEIGHT_KEY, dW);
        if (hasBias()) {
            INDArray db = gradientViews.get(DefaultParamInitializer.BIAS_KEY);
            Products.linearBiasGradient(z, db, scale);
            gradient.setGradientFor(DefaultParamInitializer.BIAS_KEY, db);
        }

        // dX [R, D] = dZ W'
        INDArray w = getParamWithNoise(DefaultParamInitializer.WEIGHT_KEY, true, workspaceMgr);
        INDArray dX = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATION_GRAD, z.dataType(), new long[] {z.size(0), w.size(0)}, 'c');
        Products.linearInputGradient(z, w, dX, scale, 0);
        return new Pair<>(gradient, backpropDropOutIfPresent(toSequence(dX)));
    }

    @Override
    public double calcRegularizationScore(boolean backpropOnlyParams) {
        return RegularizationScore.of(this);
    }

    @Override
    public double computeScore(double fullNetRegTerm, boolean training, LayerWorkspaceMgr workspaceMgr) {
        if (training && backwardDone) {
            lastCrossEntropy = scoreOfBackward;
        } else {
            requireInputAndLabels();
            INDArray z = scoringLogits(training, workspaceMgr);
            lastCrossEntropy = targets(z).lossesInPlace(z).mean();
        }
        backwardDone = false;
        // As the updater does with gradients: the mean over the minibatch, or the sum if the network is set so.
        score = fullNetRegTerm + (conf().isMiniBatch() ? 1 : getInputMiniBatchSize()) * lastCrossEntropy;
        return score;
    }

    /** The mean over the counted tokens of each example, [B, 1]. */
    @Override
    public INDArray computeScoreForExamples(double fullNetRegTerm, LayerWorkspaceMgr workspaceMgr) {
        requireInputAndLabels();
        INDArray z = scoringLogits(false, workspaceMgr);
        double[] examples = targets(z).lossesInPlace(z).ofExamples();
        for (int s = 0; s < examples.length; s++) {
            examples[s] += fullNetRegTerm;
        }
        INDArray scores = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, examples.length, 1);
        return scores.assign(Nd4j.createFromArray(examples).reshape(examples.length, 1));
    }

    @Override
    public void computeGradientAndScore(LayerWorkspaceMgr workspaceMgr) {
        gradient = backpropGradient(null, workspaceMgr).getFirst();
        computeScore(0, true, workspaceMgr);
    }

    private INDArray scoringLogits(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = inputRows(training, ArrayType.FF_WORKING_MEM, workspaceMgr);
        return logits(x, training, ArrayType.FF_WORKING_MEM, workspaceMgr);
    }

    private PatchTargets targets(INDArray z) {
        INDArray mask = maskArray != null ? maskArray : inputMaskArray;
        return new PatchTargets(labels, mask, layerConf().grid(), z.size(0), z.size(1), RowOrder.BATCH_MAJOR);
    }

    /** The input after dropout as rows in 'c' order: [B, K, D] or [B, D, K] to [R, D]. */
    private INDArray inputRows(boolean training, ArrayType memory, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        long nIn = layerConf().getNIn();
        if (input.rank() != 3 || input.size(channelsLast() ? 2 : 1) != nIn) {
            throw new DL4JInvalidInputException("PatchOutputLayer expects "
                    + (channelsLast()
                            ? "[batch, positions, " + nIn + "] (NWC)"
                            : "[batch, " + nIn + ", positions] (NCW)")
                    + ", got " + Arrays.toString(input.shape())
                    + ". Check nIn and the data format of the layer before it " + layerId());
        }
        applyDropOutIfNecessary(training, workspaceMgr);
        INDArray sequence = channelsLast() ? input : input.permute(0, 2, 1); // [B, K, D]
        boolean plain = sequence.ordering() == 'c'
                && Shape.hasDefaultStridesForShape(sequence)
                && sequence.dataType() == dataType;
        if (!plain) {
            INDArray copy = workspaceMgr.createUninitialized(memory, dataType, sequence.shape(), 'c');
            sequence = copy.assign(sequence);
        }
        return sequence.reshape('c', sequence.size(0) * sequence.size(1), nIn);
    }

    /** Z [R, V] in 'c' order = X [R, D] W [D, V] + b [V]. */
    private INDArray logits(INDArray x, boolean training, ArrayType memory, LayerWorkspaceMgr workspaceMgr) {
        INDArray w = getParamWithNoise(DefaultParamInitializer.WEIGHT_KEY, training, workspaceMgr);
        INDArray z = workspaceMgr.createUninitialized(memory, dataType, new long[] {x.size(0), w.size(1)}, 'c');
        Products.linear(x, w, z);
        return hasBias()
                ? z.addiRowVector(getParamWithNoise(DefaultParamInitializer.BIAS_KEY, training, workspaceMgr))
                : z;
    }

    /** [R, C] to [B, K, C], or a view [B, C, K] of it. */
    private INDArray toSequence(INDArray rows) {
        long b = input.size(0);
        INDArray sequence = rows.reshape('c', b, rows.size(0) / b, rows.size(1));
        return channelsLast() ? sequence : sequence.permute(0, 2, 1);
    }

    private boolean channelsLast() {
        return layerConf().getDataFormat() != RNNFormat.NCW;
    }

    private void requireInputAndLabels() {
        if (input == null || labels == null) {
            throw new IllegalStateException(
                    "Cannot calculate score or gradient without " + (input == null ? "input " : "labels ") + layerId());
        }
    }

    @Override
    public void setInput(INDArray input, LayerWorkspaceMgr workspaceMgr) {
        super.setInput(input, workspaceMgr);
        backwardDone = false;
    }

    @Override
    public void setMaskArray(INDArray maskArray) {
        super.setMaskArray(maskArray);
        if (maskArray == null) {
            // How networks clear masks before and after a minibatch
            inputMaskArray = null;
            inputMaskArrayState = null;
        }
    }

    @Override
    public Pair<INDArray, MaskState> feedForwardMaskArray(
            INDArray maskArray, MaskState currentMaskState, int minibatchSize) {
        boolean active = maskArray != null && currentMaskState == MaskState.Active;
        inputMaskArray = active ? maskArray : null;
        inputMaskArrayState = active ? currentMaskState : null;
        return null; // the last layer
    }

    @Override
    public void clear() {
        super.clear();
        backwardDone = false;
    }

    @Override
    protected INDArray preOutput2d(boolean training, LayerWorkspaceMgr workspaceMgr) {
        return scoringLogits(training, workspaceMgr);
    }

    @Override
    protected INDArray getLabels2d(LayerWorkspaceMgr workspaceMgr, ArrayType arrayType) {
        return labels;
    }

    @Override
    public double f1Score(INDArray examples, INDArray labels) {
        throw new UnsupportedOperationException(
                "The F1 score is not defined for patches of tokens. Use PatchEvaluation " + layerId());
    }

    /** {@return the size of the vocabulary} */
    @Override
    public int numLabels() {
        return Math.toIntExact(layerConf().getNOut());
    }

    @Override
    public Type type() {
        return Type.RECURRENT;
    }
}
