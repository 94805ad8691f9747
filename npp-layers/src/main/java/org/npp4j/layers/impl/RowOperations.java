package org.npp4j.layers.impl;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastSubOp;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Sigmoid;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Swish;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Operations of conditioned layers on rows [R, D] in 'c' order, in ND4J's own operations; arrays named d.. are gradients. */
final class RowOperations {
    private RowOperations() {}

    /** Rows of a table in 'c' order, a view. */
    static INDArray rowsOf(INDArray table, long from, long count) {
        long width = table.size(1);
        // through one axis: of a view, rows behind its own length would come out empty
        return table.reshape('c', new long[] {table.length()})
                .get(NDArrayIndex.interval(from * width, (from + count) * width))
                .reshape('c', count, width);
    }

    /** y = x W + b. */
    static void linear(INDArray x, INDArray weight, INDArray bias, INDArray y) {
        Products.linear(x, weight, y);
        Nd4j.exec(new BroadcastAddOp(y, bias, y, 1));
    }

    /** The gradients of weight and bias, written. */
    static void linearGradient(INDArray x, INDArray dy, INDArray dWeight, INDArray dBias) {
        Products.linearWeightGradient(x, dy, dWeight);
        dy.sum(dBias, 0);
    }

    /** y = x / (1 + exp(-x)). */
    static INDArray silu(INDArray x, Allocator allocator) {
        INDArray y = allocator.create(x.shape());
        Nd4j.exec(new Swish(x, y));
        return y;
    }

    /** dx = dy silu'(x), in place of dy. */
    static INDArray siluGradient(INDArray dy, INDArray x, Allocator scratch) {
        // sigmoid(x) (1 + x (1 - sigmoid(x)))
        INDArray sigmoid = scratch.create(x.shape());
        Nd4j.exec(new Sigmoid(x, sigmoid));
        INDArray slope = scratch.create(x.shape());
        sigmoid.rsubi(1, slope);
        slope.muli(x).addi(1).muli(sigmoid);
        return dy.muli(slope);
    }

    /**
     * y = (x - mean) scale, scale = 1 / sqrt(variance + epsilon), over the units of each row.
     *
     * @param scale [R], written
     * @param y [R, D], written
     */
    static void layerNorm(INDArray x, double epsilon, INDArray scale, INDArray y) {
        Nd4j.exec(new BroadcastSubOp(x, x.mean(1), y, 0));
        scale.assign(y.mul(y).mean(1)).addi(epsilon);
        Transforms.sqrt(scale, false);
        scale.rdivi(1);
        Nd4j.exec(new BroadcastMulOp(y, scale, y, 0));
    }

    /** dx = scale (dy - mean(dy) - y mean(dy y)), in place of dy. */
    static INDArray layerNormGradient(INDArray dy, INDArray y, INDArray scale, Allocator scratch) {
        INDArray along = scratch.create(y.shape());
        INDArray share = dy.mul(y).mean(1);
        Nd4j.exec(new BroadcastMulOp(y, share, along, 0));
        INDArray mean = dy.mean(1);
        Nd4j.exec(new BroadcastSubOp(dy, mean, dy, 0));
        dy.subi(along);
        Nd4j.exec(new BroadcastMulOp(dy, scale, dy, 0));
        return dy;
    }

    /** y = x (1 + scale) + shift. */
    static INDArray modulate(INDArray x, INDArray scale, INDArray shift, Allocator allocator) {
        INDArray y = allocator.create(x.shape());
        x.muli(scale, y);
        return y.addi(x).addi(shift);
    }
}
