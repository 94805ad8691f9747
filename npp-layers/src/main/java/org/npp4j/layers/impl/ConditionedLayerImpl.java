package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/**
 * What the run-time halves share whose norms the first position of a sequence modulates. Modulations are one row for each
 * sequence, [B, D]; they act on the rows of its tokens, [R, D] with R = B x T.
 */
abstract class ConditionedLayerImpl<C extends FeedForwardLayer> extends SequenceLayerImpl<C> {
    private static final long serialVersionUID = 1L;
    private static final double EPSILON = 1e-6;

    ConditionedLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * The input in its parts.
     *
     * @param input as the network gave it
     * @param condition [B, D]
     * @param activated silu of it
     * @param tokens [R, D]
     */
    record Parts(INDArray input, INDArray condition, INDArray activated, INDArray tokens) {
        long tokensOfSequence() {
            return tokens.rows() / condition.rows();
        }
    }

    /**
     * A modulated norm.
     *
     * @param normed [R, D]
     * @param scale of the norm, [R]
     */
    record Normed(INDArray normed, INDArray scale) {}

    final Parts parts(boolean training, Allocator kept, LayerWorkspaceMgr workspaceMgr) {
        if (input.rank() != 3 || input.size(1) < 2) {
            throw new IllegalArgumentException("Expected a condition and at least one token, [batch, 1 + tokens, "
                    + layerConf().getNIn() + "], got " + Arrays.toString(input.shape()) + " " + layerId());
        }
        inputRows(training, workspaceMgr);
        long width = layerConf().getNIn();
        INDArray condition = kept.create(input.size(0), width).assign(conditionOf(input));
        INDArray tokens = kept.create(input.size(0) * (input.size(1) - 1), width);
        tokens.reshape('c', input.size(0), input.size(1) - 1, width).assign(tokensOf(input));
        return new Parts(input, condition, RowOperations.silu(condition, kept), tokens);
    }

    /** [B, D] of [B, 1 + T, D], a view. */
    static INDArray conditionOf(INDArray sequence) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.point(0), NDArrayIndex.all());
    }

    /** [B, T, D] of [B, 1 + T, D], a view. */
    static INDArray tokensOf(INDArray sequence) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(1, sequence.size(1)), NDArrayIndex.all());
    }

    /** The modulations, [B, D] each. */
    final INDArray[] modulations(Parts parts, String weight, String bias, int count, Allocator kept) {
        INDArray[] modulations = new INDArray[count];
        for (int i = 0; i < count; i++) {
            modulations[i] = kept.create(parts.condition.shape());
            RowOperations.linear(
                    parts.activated, part(getParam(weight), i), biasPart(getParam(bias), i), modulations[i]);
        }
        return modulations;
    }

    /** The gradient of the condition, [B, D], from those of the modulations; those of their parameters are written. */
    final INDArray modulationGradient(
            Parts parts, INDArray[] dModulations, String weight, String bias, Allocator scratch) {
        INDArray dActivated = scratch.create(parts.condition.shape());
        for (int i = 0; i < dModulations.length; i++) {
            RowOperations.linearGradient(
                    parts.activated,
                    dModulations[i],
                    part(gradientViews.get(weight), i),
                    biasPart(gradientViews.get(bias), i));
            Products.linearInputGradient(dModulations[i], part(getParam(weight), i), dActivated, i == 0 ? 0 : 1);
        }
        return RowOperations.siluGradient(dActivated, parts.condition, scratch);
    }

    /** Columns of [D, parts x D]: contiguous, since the array is in 'f' order. */
    final INDArray part(INDArray weight, int part) {
        long d = layerConf().getNIn();
        return weight.get(NDArrayIndex.all(), NDArrayIndex.interval(part * d, (part + 1) * d));
    }

    final INDArray biasPart(INDArray bias, int part) {
        long d = layerConf().getNIn();
        return bias.get(NDArrayIndex.interval(part * d, (part + 1) * d));
    }

    static Normed norm(INDArray x, Allocator kept) {
        Normed n = new Normed(kept.create(x.shape()), kept.create(x.rows()));
        RowOperations.layerNorm(x, EPSILON, n.scale, n.normed);
        return n;
    }

    static INDArray modulate(Normed n, INDArray shift, INDArray scale, Allocator allocator) {
        return RowOperations.modulate(
                n.normed,
                repeated(scale, n.normed.rows(), allocator),
                repeated(shift, n.normed.rows(), allocator),
                allocator);
    }

    /** The gradient of what was normed; d is that of the modulated norm. Those of shift and scale are put into places. */
    static INDArray modulateGradient(
            Normed n, INDArray scale, INDArray d, INDArray[] dModulations, int shiftAt, Allocator scratch) {
        long batch = scale.rows();
        dModulations[shiftAt] = sums(d, batch, scratch);
        INDArray dNormed = scratch.create(d.shape());
        d.muli(n.normed, dNormed);
        dModulations[shiftAt + 1] = sums(dNormed, batch, scratch);
        d.muli(repeated(scale, d.rows(), scratch), dNormed);
        dNormed.addi(d);
        return RowOperations.layerNormGradient(dNormed, n.normed, n.scale, scratch);
    }

    /** [B, D] as rows of all tokens, [R, D]. */
    static INDArray repeated(INDArray perSequence, long rows, Allocator allocator) {
        int[] sequenceOfRow = new int[(int) rows];
        int tokens = (int) (rows / perSequence.rows());
        Arrays.setAll(sequenceOfRow, row -> row / tokens);
        INDArray repeated = allocator.create(rows, perSequence.columns());
        Nd4j.pullRows(perSequence, repeated, 1, sequenceOfRow);
        return repeated;
    }

    /** [R, D] summed over the tokens of each sequence, [B, D]. */
    static INDArray sums(INDArray rows, long batch, Allocator allocator) {
        return allocator
                .create(batch, rows.columns())
                .assign(rows.reshape('c', batch, rows.rows() / batch, rows.columns())
                        .sum(1));
    }
}
