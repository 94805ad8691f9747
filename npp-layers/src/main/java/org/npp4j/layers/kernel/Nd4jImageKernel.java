package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.CustomOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastSubOp;
import org.nd4j.linalg.api.ops.impl.transforms.custom.SoftMax;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Sigmoid;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Swish;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;

/** {@link ImageKernel} in ND4J operations: any backend, any type, and what faster forms are tested against. */
public final class Nd4jImageKernel implements ImageKernel {
    /** The only instance. */
    public static final Nd4jImageKernel INSTANCE = new Nd4jImageKernel(256);

    private final long queryBlock;

    /**
     * A kernel for tests.
     *
     * @param queryBlock queries that are attended together
     */
    Nd4jImageKernel(long queryBlock) {
        this.queryBlock = queryBlock;
    }

    @Override
    public void groupNorm(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y) {
        for (long b = 0; b < x.size(0); b++) {
            INDArray pixels = image(x, b);
            INDArray centred = Nd4j.createUninitialized(x.dataType(), pixels.shape(), 'c');
            INDArray mean = ofGroups(sums(pixels), norm).divi(numbers(pixels, norm));
            Nd4j.exec(new BroadcastSubOp(pixels, ofChannels(mean, pixels), centred, 1));
            INDArray scale = ofGroups(sums(centred.muli(centred)), norm).divi(numbers(pixels, norm));
            scale.addi(norm.epsilon());
            scale.assign(Transforms.sqrt(scale).rdivi(1.0));
            statistics.slice(b).slice(0).assign(mean);
            statistics.slice(b).slice(1).assign(scale);
        }
        normalize(x, norm, gain, bias, statistics, y);
    }

    @Override
    public void normalize(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y) {
        for (long b = 0; b < x.size(0); b++) {
            INDArray pixels = image(x, b);
            INDArray out = image(y, b);
            unit(pixels, statistics.slice(b), out);
            affine(out, gain, bias);
            if (norm.swish()) {
                Nd4j.exec(new Swish(out, out));
            }
        }
    }

    @Override
    public void groupNormGradient(
            INDArray dy,
            INDArray x,
            Norm norm,
            INDArray gain,
            INDArray bias,
            INDArray statistics,
            INDArray residual,
            Allocator scratch,
            INDArray dGain,
            INDArray dBias,
            INDArray dx) {
        dGain.assign(0);
        dBias.assign(0);
        long[] shape = image(x, 0).shape();
        INDArray unit = scratch.create(shape);
        INDArray gradient = scratch.create(shape);
        INDArray work = scratch.create(shape);
        for (long b = 0; b < x.size(0); b++) {
            INDArray pixels = image(x, b);
            INDArray ofImage = statistics.slice(b);
            unit(pixels, ofImage, unit);
            gradient.assign(image(dy, b));
            if (norm.swish()) {
                // swish'(z) = sigmoid(z) (1 + z - swish(z))
                INDArray z = affine(work.assign(unit), gain, bias);
                INDArray slope = Nd4j.createUninitialized(x.dataType(), shape, 'c');
                Nd4j.exec(new Swish(z, slope));
                z.subi(slope, slope).addi(1);
                Nd4j.exec(new Sigmoid(z, z));
                gradient.muli(slope).muli(z);
            }
            INDArray sums = sums(gradient);
            INDArray products = sums(gradient.muli(unit, work));
            dBias.addi(sums.reshape(dBias.shape()));
            dGain.addi(products.reshape(dGain.shape()));
            // dx = scale (g - mean(g) - unit mean(g unit)), g = gradient * gain
            INDArray ofColumns = gain.reshape(shape[1]);
            INDArray mean = ofGroups(sums.muli(ofColumns), norm).divi(numbers(pixels, norm));
            INDArray alike = ofGroups(products.muli(ofColumns), norm).divi(numbers(pixels, norm));
            Nd4j.exec(new BroadcastMulOp(gradient, ofColumns, gradient, 1));
            Nd4j.exec(new BroadcastSubOp(gradient, ofChannels(mean, pixels), gradient, 1));
            Nd4j.exec(new BroadcastMulOp(unit, ofChannels(alike, pixels), unit, 1));
            gradient.subi(unit);
            Nd4j.exec(new BroadcastMulOp(gradient, ofChannels(ofImage.slice(1), pixels), gradient, 1));
            if (residual != null) {
                gradient.addi(image(residual, b));
            }
            image(dx, b).assign(gradient);
        }
    }

    /** [Y X, C] of image b. */
    private static INDArray image(INDArray images, long b) {
        long pixels = images.size(1) * images.size(2);
        INDArray rows = images.reshape('c', images.size(0) * pixels, images.size(3));
        return images.size(0) == 1
                ? rows
                : rows.get(NDArrayIndex.interval(b * pixels, (b + 1) * pixels), NDArrayIndex.all());
    }

    /** y = (x - mean) * scale. */
    private static void unit(INDArray x, INDArray statistics, INDArray y) {
        Nd4j.exec(new BroadcastSubOp(x, ofChannels(statistics.slice(0), x), y, 1));
        Nd4j.exec(new BroadcastMulOp(y, ofChannels(statistics.slice(1), x), y, 1));
    }

    /** x = x * gain + bias. */
    private static INDArray affine(INDArray x, INDArray gain, INDArray bias) {
        Nd4j.exec(new BroadcastMulOp(x, gain.reshape(x.size(1)), x, 1));
        Nd4j.exec(new BroadcastAddOp(x, bias.reshape(x.size(1)), x, 1));
        return x;
    }

    /** The sum of each column: [R, C] -> [C]. */
    private static INDArray sums(INDArray x) {
        INDArray sums = Nd4j.createUninitialized(x.dataType(), new long[] {x.size(1)}, 'c');
        Products.linearBiasGradient(x, sums, 1);
        return sums;
    }

    /** The sum of each group of channels: [C] -> [groups]. */
    private static INDArray ofGroups(INDArray ofChannels, Norm norm) {
        INDArray grouped = ofChannels.reshape('c', norm.groups(), ofChannels.length() / norm.groups());
        return grouped.size(1) == 1 ? grouped.reshape(norm.groups()).dup() : grouped.sum(1);
    }

    /** How many numbers of an image belong to a group. */
    private static long numbers(INDArray pixels, Norm norm) {
        return pixels.size(0) * (pixels.size(1) / norm.groups());
    }

    /** The number of its group for each channel: [groups] -> [C]. */
    private static INDArray ofChannels(INDArray ofGroups, INDArray pixels) {
        long each = pixels.size(1) / ofGroups.length();
        INDArray channels = Nd4j.ones(ofGroups.dataType(), ofGroups.length(), each);
        Nd4j.exec(new BroadcastMulOp(channels, ofGroups.reshape(ofGroups.length()), channels, 0));
        return channels.reshape(pixels.size(1));
    }

    @Override
    public void attention(INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray y) {
        long pixels = q.size(1);
        INDArray memory = scratch.create(Math.min(queryBlock, pixels), pixels);
        for (long b = 0; b < q.size(0); b++) {
            for (long from = 0; from < pixels; from += queryBlock) {
                long to = Math.min(pixels, from + queryBlock);
                INDArray weights = weights(q, k, b, from, to, memory);
                multiply(weights, rows(v, b, 0, pixels), rows(y, b, from, to), 1, 0);
            }
        }
    }

    @Override
    public void attentionGradient(
            INDArray dy, INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray dq, INDArray dk, INDArray dv) {
        long pixels = q.size(1);
        double scale = 1 / Math.sqrt(q.size(2));
        INDArray memory = scratch.create(Math.min(queryBlock, pixels), pixels);
        INDArray gradientMemory = scratch.create(Math.min(queryBlock, pixels), pixels);
        for (long b = 0; b < q.size(0); b++) {
            for (long from = 0; from < pixels; from += queryBlock) {
                long to = Math.min(pixels, from + queryBlock);
                double keep = from == 0 ? 0 : 1;
                INDArray weights = weights(q, k, b, from, to, memory);
                INDArray gradient = rows(dy, b, from, to);
                multiply(weights.transpose(), gradient, rows(dv, b, 0, pixels), 1, keep);
                // dw = dy v^T; ds = w (dw - sum of w dw)
                INDArray dScores = block(gradientMemory, to - from);
                multiply(gradient, rows(v, b, 0, pixels).transpose(), dScores, 1, 0);
                dScores.muli(weights);
                INDArray sums = pixels == 1 ? dScores.reshape(to - from).dup() : dScores.sum(1);
                Nd4j.exec(new BroadcastMulOp(weights, sums, weights, 0));
                dScores.subi(weights);
                multiply(dScores, rows(k, b, 0, pixels), rows(dq, b, from, to), scale, 0);
                multiply(dScores.transpose(), rows(q, b, from, to), rows(dk, b, 0, pixels), scale, keep);
            }
        }
    }

    /** softmax(q k^T / sqrt(C)) of the queries from .. to - 1 of image b: [to - from, N]. */
    private static INDArray weights(INDArray q, INDArray k, long b, long from, long to, INDArray memory) {
        INDArray weights = block(memory, to - from);
        multiply(rows(q, b, from, to), rows(k, b, 0, k.size(1)).transpose(), weights, 1 / Math.sqrt(q.size(2)), 0);
        Nd4j.exec((CustomOp) new SoftMax(weights, weights, 1));
        return weights;
    }

    private static INDArray block(INDArray memory, long rows) {
        return rows == memory.size(0) ? memory : memory.get(NDArrayIndex.interval(0, rows), NDArrayIndex.all());
    }

    /** Rows from .. to - 1 of image b of [B, N, C]: [to - from, C]. */
    private static INDArray rows(INDArray images, long b, long from, long to) {
        INDArray rows = images.reshape('c', images.size(0) * images.size(1), images.size(2));
        long first = b * images.size(1);
        return rows.get(NDArrayIndex.interval(first + from, first + to), NDArrayIndex.all());
    }

    private static void multiply(INDArray a, INDArray b, INDArray c, double alpha, double beta) {
        Products.inFull().multiply(a, b, c, alpha, beta);
    }
}
