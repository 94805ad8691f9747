package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link CaptionEmbedding}. */
public final class CaptionEmbeddingImpl extends SequenceLayerImpl<CaptionEmbedding> {
    private static final long serialVersionUID = 1L;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public CaptionEmbeddingImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * What the backward pass reads.
     *
     * @param input as the network gave it
     * @param replaced which examples have the unconditional caption
     * @param captions [R, S], after mask and replacement
     * @param hidden [R, D]
     * @param activated [R, D]
     */
    private record Forward(INDArray input, boolean[] replaced, INDArray captions, INDArray hidden, INDArray activated) {
        boolean anyReplaced() {
            for (boolean each : replaced) {
                if (each) {
                    return true;
                }
            }
            return false;
        }
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        requireCaptions();
        applyDropOutIfNecessary(training, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        boolean[] replaced = new boolean[(int) input.size(0)];
        if (training) {
            drawReplaced(replaced);
        }
        INDArray captions = captions(inputRows(training, workspaceMgr), replaced, kept);
        INDArray hidden = kept.create(captions.rows(), layerConf().getNOut());
        Products.linear(captions, getParam(CaptionEmbedding.IN_WEIGHT), hidden);
        INDArray activated = kept.create(hidden.shape());
        kernel().gelu(hidden, activated);
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {input.size(0), input.size(1), hidden.columns()}, 'c');
        Products.linear(activated, getParam(CaptionEmbedding.OUT_WEIGHT), out.reshape(hidden.shape()));
        forward = training ? new Forward(input, replaced, captions, hidden, activated) : null;
        return out;
    }

    private void requireCaptions() {
        if (input.rank() != 3
                || input.size(1) != layerConf().getTokens()
                || input.size(2) != layerConf().getNIn()) {
            throw new IllegalArgumentException(
                    "Expected captions [batch, " + layerConf().getTokens() + ", "
                            + layerConf().getNIn() + "], got " + Arrays.toString(input.shape())
                            + ". Pad or cut each caption to this number of vectors " + layerId());
        }
    }

    private void drawReplaced(boolean[] replaced) {
        double probability = layerConf().getDropout();
        if (probability > 0) {
            double[] chance = Nd4j.rand(DataType.DOUBLE, replaced.length).data().asDouble();
            for (int b = 0; b < replaced.length; b++) {
                replaced[b] = chance[b] < probability;
            }
        }
    }

    /** [R, S]: masked vectors are zero, replaced examples have the unconditional caption. */
    private INDArray captions(INDArray rows, boolean[] replaced, Allocator kept) {
        Forward changes = new Forward(null, replaced, null, null, null);
        if (maskArray == null && !changes.anyReplaced()) {
            return rows;
        }
        INDArray captions = kept.create(rows.shape()).assign(rows);
        applyCaptionMask(captions);
        for (int b = 0; b < replaced.length; b++) {
            if (replaced[b]) {
                example(captions, b).assign(getParam(CaptionEmbedding.UNCONDITIONAL));
            }
        }
        return captions;
    }

    private void applyCaptionMask(INDArray rows) {
        if (maskArray != null) {
            INDArray mask = maskArray.castTo(dataType).dup('c').reshape(rows.rows());
            Nd4j.exec(new BroadcastMulOp(rows, mask, rows, 0));
        }
    }

    /** [R, S] -> [C, S], a view. */
    private INDArray example(INDArray rows, long index) {
        long c = layerConf().getTokens();
        return rows.get(NDArrayIndex.interval(index * c, (index + 1) * c), NDArrayIndex.all());
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.input() != input) {
            throw new IllegalStateException(
                    "The backward pass needs the training forward pass of the same input before it " + layerId());
        }
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        Products.linearWeightGradient(f.activated(), dOut, gradientViews.get(CaptionEmbedding.OUT_WEIGHT));
        INDArray dHidden = scratch.create(f.hidden().shape());
        Products.linearInputGradient(dOut, getParam(CaptionEmbedding.OUT_WEIGHT), dHidden, 0);
        kernel().geluGradient(dHidden, f.hidden(), dHidden);
        Products.linearWeightGradient(f.captions(), dHidden, gradientViews.get(CaptionEmbedding.IN_WEIGHT));
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        INDArray dCaptions = dx.reshape(f.captions().shape());
        Products.linearInputGradient(dHidden, getParam(CaptionEmbedding.IN_WEIGHT), dCaptions, 0);
        unconditionalGradient(f, dCaptions);
        applyCaptionMask(dCaptions);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    /** The gradients of replaced captions go to the unconditional one, if it learns, and not to the input. */
    private void unconditionalGradient(Forward f, INDArray dCaptions) {
        INDArray dUnconditional = gradientViews.get(CaptionEmbedding.UNCONDITIONAL);
        dUnconditional.assign(0);
        for (int b = 0; b < f.replaced().length; b++) {
            if (f.replaced()[b]) {
                INDArray dCaption = example(dCaptions, b);
                if (layerConf().isLearnUnconditional()) {
                    dUnconditional.addi(dCaption);
                }
                dCaption.assign(0);
            }
        }
    }

    /**
     * The unconditional caption for every example of a batch: as an input of the network it is the other half of
     * classifier-free guidance.
     *
     * @param batch B
     * @return [B, C, S], a copy
     */
    public INDArray unconditionalCaptions(long batch) {
        INDArray caption = getParam(CaptionEmbedding.UNCONDITIONAL);
        INDArray captions =
                Nd4j.createUninitialized(dataType, new long[] {batch, caption.size(0), caption.size(1)}, 'c');
        for (long b = 0; b < batch; b++) {
            captions.slice(b).assign(caption);
        }
        return captions;
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
