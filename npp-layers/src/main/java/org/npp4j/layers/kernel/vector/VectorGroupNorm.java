package org.npp4j.layers.kernel.vector;

import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.function.IntConsumer;
import jdk.incubator.vector.FloatVector;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.ImageKernel;

/**
 * {@link ImageKernel#groupNorm} and its gradient. A tile is a few whole pixels; what belongs to the channels is repeated for
 * each pixel of a tile, so that loops run over tiles whatever the number of channels is.
 */
final class VectorGroupNorm {
    /** Numbers of a tile, about. */
    private static final int TILE = 1024;

    /** Numbers of a part, about: single precision adds the numbers of a channel in a part without loss. */
    private static final int PART = 64 * TILE;

    /** Numbers that are touched, below which waking another thread costs more than it saves. */
    private static final long FEW = 1 << 18;

    private static final int MOST_CHANNELS = 1 << 16;

    private VectorGroupNorm() {}

    /** Whether it takes images of one shape with these parameters. */
    static boolean takes(ImageKernel.Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray... images) {
        long[] shape = images[0].shape();
        for (INDArray array : images) {
            if (array.rank() != 4 || !Floats.contiguous(array, 'c') || !Arrays.equals(array.shape(), shape)) {
                return false;
            }
        }
        return shape[1] * shape[2] * shape[3] <= Floats.LONGEST
                && shape[3] <= MOST_CHANNELS
                && Floats.vector(gain, shape[3])
                && Floats.vector(bias, shape[3])
                && Floats.vector(statistics, shape[0] * 2 * norm.groups());
    }

    /** The sizes of images, and how they are divided into parts and tiles. */
    private record Sizes(int batch, int pixels, int channels, int pixelsOfTile, int pixelsOfPart) {
        static Sizes of(INDArray images) {
            int channels = (int) images.size(3);
            int pixelsOfTile = Math.max(1, TILE / channels);
            return new Sizes(
                    (int) images.size(0),
                    (int) (images.size(1) * images.size(2)),
                    channels,
                    pixelsOfTile,
                    Math.max(1, PART / (pixelsOfTile * channels)) * pixelsOfTile);
        }

        int tile() {
            return pixelsOfTile * channels;
        }

        /** The length of arrays for a tile: whole vectors. */
        int padded() {
            return Lanes.roundUp(tile());
        }

        int imageLength() {
            return pixels * channels;
        }

        int partsOfImage() {
            return Pass.parts(pixels, pixelsOfPart);
        }

        /** What belongs to the channels, for every number of a tile. */
        float[] ofTile(float[] ofChannels) {
            float[] ofTile = new float[padded()];
            for (int i = 0; i < tile(); i++) {
                ofTile[i] = ofChannels[i % channels];
            }
            return ofTile;
        }

        /** Adds what belongs to a tile to that of the channels. */
        void add(float[] ofTile, double[] ofChannels) {
            for (int i = 0; i < tile(); i++) {
                ofChannels[i % channels] += ofTile[i];
            }
        }
    }

    /** What is done with a part of an image. */
    @FunctionalInterface
    private interface Part {
        /**
         * Works on some pixels.
         *
         * @param buffers of the image in each array
         * @param image its number
         * @param part the number of the part in the image
         * @param from the first number
         * @param to behind the last
         */
        void run(FloatBuffer[] buffers, int image, int part, int from, int to);
    }

    private static void run(Sizes sizes, Part part, INDArray... arrays) {
        FloatBuffer[][] buffers = new FloatBuffer[sizes.batch][arrays.length];
        for (int b = 0; b < sizes.batch; b++) {
            for (int i = 0; i < arrays.length; i++) {
                buffers[b][i] = Floats.of(arrays[i], (long) b * sizes.imageLength(), sizes.imageLength());
            }
        }
        int ofImage = sizes.partsOfImage();
        int parts = Math.multiplyExact(sizes.batch, ofImage);
        int length = sizes.pixelsOfPart * sizes.channels;
        IntConsumer numbered = number -> {
            int image = number / ofImage;
            int from = number % ofImage * length;
            part.run(buffers[image], image, number % ofImage, from, Math.min(sizes.imageLength(), from + length));
        };
        if ((long) sizes.batch * sizes.imageLength() * arrays.length < FEW) {
            for (int i = 0; i < parts; i++) {
                numbered.accept(i);
            }
        } else {
            Workers.run(parts, numbered);
        }
        for (INDArray array : arrays) {
            Reference.reachabilityFence(array);
        }
    }

    /** Means and scales of the groups of each image. */
    static void statistics(INDArray x, ImageKernel.Norm norm, INDArray statistics) {
        Sizes sizes = Sizes.of(x);
        // numbers are taken relative to the first pixel, so that squares do not cancel where means are large
        float[][] firsts = new float[sizes.batch][sizes.channels];
        float[][] shifts = new float[sizes.batch][];
        for (int b = 0; b < sizes.batch; b++) {
            Floats.of(x, (long) b * sizes.imageLength(), sizes.channels).get(0, firsts[b]);
            shifts[b] = sizes.ofTile(firsts[b]);
        }
        double[][][] sums = new double[sizes.batch][sizes.partsOfImage()][];
        double[][][] squares = new double[sizes.batch][sizes.partsOfImage()][];
        run(
                sizes,
                (buffers, image, part, from, to) -> {
                    Scratch scratch = Scratch.get();
                    float[] tile = scratch.array(0, sizes.padded());
                    float[] sum = new float[sizes.padded()];
                    float[] square = new float[sizes.padded()];
                    for (int at = from; at < to; at += sizes.tile()) {
                        int length = Math.min(sizes.tile(), to - at);
                        buffers[0].get(at, tile, 0, length);
                        // behind the end, differences of 0
                        System.arraycopy(shifts[image], length, tile, length, sizes.padded() - length);
                        addDifferences(tile, shifts[image], sum, square);
                    }
                    sums[image][part] = new double[sizes.channels];
                    squares[image][part] = new double[sizes.channels];
                    sizes.add(sum, sums[image][part]);
                    sizes.add(square, squares[image][part]);
                },
                x);
        float[] result = new float[sizes.batch * 2 * norm.groups()];
        for (int b = 0; b < sizes.batch; b++) {
            groups(sizes, norm, firsts[b], total(sums[b]), total(squares[b]), result, b * 2 * norm.groups());
        }
        Floats.of(statistics).put(0, result);
        Reference.reachabilityFence(statistics);
    }

    /** From sums of the channels' differences from their shifts, and of their squares, to means and scales of groups. */
    private static void groups(
            Sizes sizes,
            ImageKernel.Norm norm,
            float[] shifts,
            double[] sums,
            double[] squares,
            float[] result,
            int at) {
        int each = sizes.channels / norm.groups();
        for (int g = 0; g < norm.groups(); g++) {
            double mean = 0;
            for (int c = g * each; c < (g + 1) * each; c++) {
                mean += shifts[c] + sums[c] / sizes.pixels;
            }
            mean /= each;
            double variance = 0;
            for (int c = g * each; c < (g + 1) * each; c++) {
                double ofChannel = sums[c] / sizes.pixels;
                double difference = shifts[c] + ofChannel - mean;
                variance += Math.max(0, squares[c] / sizes.pixels - ofChannel * ofChannel) + difference * difference;
            }
            result[at + g] = (float) mean;
            result[at + norm.groups() + g] = (float) (1 / Math.sqrt(variance / each + norm.epsilon()));
        }
    }

    /** The sums over all parts, in their order. */
    private static double[] total(double[][] parts) {
        double[] total = new double[parts[0].length];
        for (double[] part : parts) {
            for (int i = 0; i < total.length; i++) {
                total[i] += part[i];
            }
        }
        return total;
    }

    private static void addDifferences(float[] x, float[] shift, float[] sum, float[] square) {
        for (int i = 0; i < sum.length; i += Lanes.COUNT) {
            FloatVector d =
                    FloatVector.fromArray(Lanes.FLOATS, x, i).sub(FloatVector.fromArray(Lanes.FLOATS, shift, i));
            FloatVector.fromArray(Lanes.FLOATS, sum, i).add(d).intoArray(sum, i);
            d.fma(d, FloatVector.fromArray(Lanes.FLOATS, square, i)).intoArray(square, i);
        }
    }

    /** The parameters of the channels of an image, for every number of a tile. */
    private record OfTile(float[] mean, float[] scale, float[] gain, float[] bias) {
        static OfTile[] of(Sizes sizes, ImageKernel.Norm norm, INDArray gain, INDArray bias, INDArray statistics) {
            float[] gains = new float[sizes.channels];
            float[] biases = new float[sizes.channels];
            float[] ofGroups = new float[sizes.batch * 2 * norm.groups()];
            Floats.of(gain).get(0, gains);
            Floats.of(bias).get(0, biases);
            Floats.of(statistics).get(0, ofGroups);
            Reference.reachabilityFence(gain);
            Reference.reachabilityFence(bias);
            Reference.reachabilityFence(statistics);
            float[] gainsOfTile = sizes.ofTile(gains);
            float[] biasesOfTile = sizes.ofTile(biases);
            OfTile[] ofImages = new OfTile[sizes.batch];
            int each = sizes.channels / norm.groups();
            for (int b = 0; b < sizes.batch; b++) {
                float[] means = new float[sizes.channels];
                float[] scales = new float[sizes.channels];
                for (int c = 0; c < sizes.channels; c++) {
                    means[c] = ofGroups[b * 2 * norm.groups() + c / each];
                    scales[c] = ofGroups[(b * 2 + 1) * norm.groups() + c / each];
                }
                ofImages[b] = new OfTile(sizes.ofTile(means), sizes.ofTile(scales), gainsOfTile, biasesOfTile);
            }
            return ofImages;
        }

        /** scale * gain. */
        float[] factors() {
            float[] factors = new float[scale.length];
            for (int i = 0; i < factors.length; i++) {
                factors[i] = scale[i] * gain[i];
            }
            return factors;
        }
    }

    static void normalize(
            INDArray x, ImageKernel.Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y) {
        Sizes sizes = Sizes.of(x);
        OfTile[] ofTiles = OfTile.of(sizes, norm, gain, bias, statistics);
        float[][] factors = new float[sizes.batch][];
        Arrays.setAll(factors, b -> ofTiles[b].factors());
        run(
                sizes,
                (buffers, image, part, from, to) -> {
                    Scratch scratch = Scratch.get();
                    float[] tile = scratch.array(0, sizes.padded());
                    float[] e = scratch.array(1, sizes.padded());
                    float[] lanes = scratch.array(2, Lanes.COUNT);
                    OfTile ofTile = ofTiles[image];
                    for (int at = from; at < to; at += sizes.tile()) {
                        int length = Math.min(sizes.tile(), to - at);
                        buffers[0].get(at, tile, 0, length);
                        affine(tile, ofTile.mean, factors[image], ofTile.bias, length);
                        if (norm.swish()) {
                            Lanes.exp(tile, -1, 0, e, 0, length, lanes);
                            swish(tile, e, length);
                        }
                        buffers[1].put(at, tile, 0, length);
                    }
                },
                x,
                y);
    }

    /** x = (x - mean) * factor + bias. */
    private static void affine(float[] x, float[] mean, float[] factor, float[] bias, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .sub(FloatVector.fromArray(Lanes.FLOATS, mean, i))
                    .fma(FloatVector.fromArray(Lanes.FLOATS, factor, i), FloatVector.fromArray(Lanes.FLOATS, bias, i))
                    .intoArray(x, i);
        }
    }

    /** z = z / (1 + e), e = exp(-z). */
    private static void swish(float[] z, float[] e, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, z, i)
                    .div(FloatVector.fromArray(Lanes.FLOATS, e, i).add(1))
                    .intoArray(z, i);
        }
    }

    static void gradient(
            INDArray dy,
            INDArray x,
            ImageKernel.Norm norm,
            INDArray gain,
            INDArray bias,
            INDArray statistics,
            INDArray residual,
            INDArray dGain,
            INDArray dBias,
            INDArray dx) {
        Sizes sizes = Sizes.of(x);
        OfTile[] ofTiles = OfTile.of(sizes, norm, gain, bias, statistics);
        double[][][] sums = new double[sizes.batch][sizes.partsOfImage()][];
        double[][][] products = new double[sizes.batch][sizes.partsOfImage()][];
        run(
                sizes,
                (buffers, image, part, from, to) -> {
                    Scratch scratch = Scratch.get();
                    float[] g = scratch.array(0, sizes.padded());
                    float[] unit = scratch.array(1, sizes.padded());
                    float[] sum = new float[sizes.padded()];
                    float[] product = new float[sizes.padded()];
                    for (int at = from; at < to; at += sizes.tile()) {
                        int length = Math.min(sizes.tile(), to - at);
                        gradientOfTile(buffers, at, length, ofTiles[image], norm, g, unit, scratch);
                        Arrays.fill(g, length, sizes.padded(), 0);
                        Arrays.fill(unit, length, sizes.padded(), 0);
                        addProducts(g, unit, sum, product);
                    }
                    sums[image][part] = new double[sizes.channels];
                    products[image][part] = new double[sizes.channels];
                    sizes.add(sum, sums[image][part]);
                    sizes.add(product, products[image][part]);
                },
                dy,
                x);
        float[][] factors = new float[sizes.batch][];
        float[][] means = new float[sizes.batch][];
        float[][] alike = new float[sizes.batch][];
        double[] gains = new double[sizes.channels];
        double[] biases = new double[sizes.channels];
        for (int b = 0; b < sizes.batch; b++) {
            double[] ofChannels = total(sums[b]);
            double[] productsOfChannels = total(products[b]);
            for (int c = 0; c < sizes.channels; c++) {
                biases[c] += ofChannels[c];
                gains[c] += productsOfChannels[c];
            }
            factors[b] = ofTiles[b].factors();
            means[b] = sizes.ofTile(meansOfGroups(sizes, norm, ofTiles[b], ofChannels));
            alike[b] = sizes.ofTile(meansOfGroups(sizes, norm, ofTiles[b], productsOfChannels));
        }
        Part part = (buffers, image, number, from, to) -> {
            Scratch scratch = Scratch.get();
            float[] g = scratch.array(0, sizes.padded());
            float[] unit = scratch.array(1, sizes.padded());
            float[] passed = scratch.array(2, sizes.padded());
            for (int at = from; at < to; at += sizes.tile()) {
                int length = Math.min(sizes.tile(), to - at);
                gradientOfTile(buffers, at, length, ofTiles[image], norm, g, unit, scratch);
                difference(g, unit, factors[image], means[image], alike[image], length);
                if (residual != null) {
                    buffers[3].get(at, passed, 0, length);
                    add(g, passed, length);
                }
                buffers[2].put(at, g, 0, length);
            }
        };
        if (residual == null) {
            run(sizes, part, dy, x, dx);
        } else {
            run(sizes, part, dy, x, dx, residual);
        }
        put(gains, dGain);
        put(biases, dBias);
    }

    private static void put(double[] values, INDArray array) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) values[i];
        }
        Floats.of(array).put(0, floats);
        Reference.reachabilityFence(array);
    }

    /** scale times the mean over the group of gain times what was summed over the pixels, for each channel. */
    private static float[] meansOfGroups(Sizes sizes, ImageKernel.Norm norm, OfTile ofTile, double[] ofChannels) {
        int each = sizes.channels / norm.groups();
        float[] means = new float[sizes.channels];
        for (int g = 0; g < norm.groups(); g++) {
            double sum = 0;
            for (int c = g * each; c < (g + 1) * each; c++) {
                sum += ofTile.gain[c] * ofChannels[c];
            }
            float mean = (float) (ofTile.scale[g * each] * sum / ((double) each * sizes.pixels));
            Arrays.fill(means, g * each, (g + 1) * each, mean);
        }
        return means;
    }

    /** The gradient of the norm's output before swish, and the normalised input. */
    private static void gradientOfTile(
            FloatBuffer[] buffers,
            int at,
            int length,
            OfTile ofTile,
            ImageKernel.Norm norm,
            float[] g,
            float[] unit,
            Scratch scratch) {
        buffers[0].get(at, g, 0, length);
        buffers[1].get(at, unit, 0, length);
        unit(unit, ofTile.mean, ofTile.scale, length);
        if (norm.swish()) {
            float[] z = scratch.array(3, g.length);
            float[] e = scratch.array(4, g.length);
            affine(unit, ofTile.gain, ofTile.bias, length, z);
            Lanes.exp(z, -1, 0, e, 0, length, scratch.array(5, Lanes.COUNT));
            swishGradient(g, z, e, length);
        }
    }

    /** x = (x - mean) * scale. */
    private static void unit(float[] x, float[] mean, float[] scale, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .sub(FloatVector.fromArray(Lanes.FLOATS, mean, i))
                    .mul(FloatVector.fromArray(Lanes.FLOATS, scale, i))
                    .intoArray(x, i);
        }
    }

    /** z = x * gain + bias. */
    private static void affine(float[] x, float[] gain, float[] bias, int length, float[] z) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .fma(FloatVector.fromArray(Lanes.FLOATS, gain, i), FloatVector.fromArray(Lanes.FLOATS, bias, i))
                    .intoArray(z, i);
        }
    }

    /** g = g swish'(z), swish'(z) = s (1 + z - s z), s = 1 / (1 + e). */
    private static void swishGradient(float[] g, float[] z, float[] e, int length) {
        FloatVector ones = FloatVector.broadcast(Lanes.FLOATS, 1);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector s = ones.div(FloatVector.fromArray(Lanes.FLOATS, e, i).add(1));
            FloatVector v = FloatVector.fromArray(Lanes.FLOATS, z, i);
            v.sub(s.mul(v))
                    .add(1)
                    .mul(s)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, g, i))
                    .intoArray(g, i);
        }
    }

    private static void addProducts(float[] g, float[] unit, float[] sum, float[] product) {
        for (int i = 0; i < sum.length; i += Lanes.COUNT) {
            FloatVector v = FloatVector.fromArray(Lanes.FLOATS, g, i);
            FloatVector.fromArray(Lanes.FLOATS, sum, i).add(v).intoArray(sum, i);
            v.fma(FloatVector.fromArray(Lanes.FLOATS, unit, i), FloatVector.fromArray(Lanes.FLOATS, product, i))
                    .intoArray(product, i);
        }
    }

    /** g = g * factor - mean - unit * alike. */
    private static void difference(float[] g, float[] unit, float[] factor, float[] mean, float[] alike, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector rest = FloatVector.fromArray(Lanes.FLOATS, unit, i)
                    .fma(FloatVector.fromArray(Lanes.FLOATS, alike, i), FloatVector.fromArray(Lanes.FLOATS, mean, i));
            FloatVector.fromArray(Lanes.FLOATS, g, i)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, factor, i))
                    .sub(rest)
                    .intoArray(g, i);
        }
    }

    private static void add(float[] x, float[] y, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .add(FloatVector.fromArray(Lanes.FLOATS, y, i))
                    .intoArray(x, i);
        }
    }
}
