package org.npp4j.ecar.latents;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.llamagen.images.PixelImages;

/**
 * The orthonormal cosine transform of blocks of pixels, as a latent codec that needs no training: every coefficient of a block
 * is a channel, shifted and scaled to mean 0 and variance 1 over the images it was fitted to. Nothing is lost but rounding.
 *
 * <p>Images that do not fill G x G blocks are continued by their edge pixels on all sides, and cut again.
 *
 * <p>coefficients = K x, K = T (x) T, T[k, i] = sqrt((k = 0 ? 1 : 2) / b) cos(pi (2 i + 1) k / (2 b)), with pixels x in -1 .. 1.
 *
 * <p>Reconstruction: an embedded default for small images; the models that ECAR is compared with use the latents of a trained
 * autoencoder.
 */
public final class BlockTransform implements LatentCodec {
    static final String KIND = "block-transform";

    private static final double LEAST_DEVIATION = 1e-4;
    private static final int FIT_BATCH = 1000;

    private final int blockSide;
    private final int grid;
    private final int imageChannels;
    private final int height;
    private final int width;
    private final double[] means;
    private final double[] deviations;
    private final INDArray transform;

    private BlockTransform(
            int blockSide, int grid, int imageChannels, int height, int width, double[] means, double[] deviations) {
        if (blockSide < 1 || grid < 1 || imageChannels < 1 || height < 1 || width < 1) {
            throw new IllegalArgumentException("Sides and channels must be at least 1, got blocks of side " + blockSide
                    + " in a grid of " + grid + " for images of " + imageChannels + " x " + height + " x " + width);
        }
        if ((long) blockSide * grid < Math.max(height, width)) {
            throw new IllegalArgumentException(grid + " blocks of side " + blockSide + " do not cover images of "
                    + height + " x " + width + " pixels. Take larger blocks or more of them");
        }
        int channels = imageChannels * blockSide * blockSide;
        if (means.length != channels
                || deviations.length != channels
                || Arrays.stream(deviations).anyMatch(deviation -> !(deviation > 0))) {
            throw new IllegalArgumentException("There must be a mean and a deviation above 0 for each of " + channels
                    + " channels, got " + means.length + " and " + deviations.length);
        }
        this.blockSide = blockSide;
        this.grid = grid;
        this.imageChannels = imageChannels;
        this.height = height;
        this.width = width;
        this.means = means;
        this.deviations = deviations;
        transform = transform(blockSide);
    }

    /** K, [b x b, b x b]: rows are coefficients. */
    private static INDArray transform(int b) {
        double[][] t = new double[b][b];
        for (int k = 0; k < b; k++) {
            for (int i = 0; i < b; i++) {
                t[k][i] = Math.sqrt((k == 0 ? 1.0 : 2.0) / b) * Math.cos(Math.PI * (2 * i + 1) * k / (2.0 * b));
            }
        }
        float[][] kronecker = new float[b * b][b * b];
        for (int row = 0; row < b * b; row++) {
            for (int column = 0; column < b * b; column++) {
                kronecker[row][column] = (float) (t[row / b][column / b] * t[row % b][column % b]);
            }
        }
        return Nd4j.createFromArray(kronecker);
    }

    /**
     * A codec whose latents have mean 0 and variance 1 in each channel over these images.
     *
     * @param images at least one
     * @param blockSide b, at least 1
     * @param grid G; b x G must cover the images
     * @return the codec
     * @throws IllegalArgumentException if the blocks do not cover the images
     */
    public static BlockTransform fit(PixelImages images, int blockSide, int grid) {
        int channels = images.channels() * blockSide * blockSide;
        double[] zeros = new double[channels];
        double[] ones = new double[channels];
        Arrays.fill(ones, 1);
        BlockTransform plain =
                new BlockTransform(blockSide, grid, images.channels(), images.height(), images.width(), zeros, ones);
        double[] sums = new double[channels];
        double[] squares = new double[channels];
        for (int from = 0; from < images.count(); from += FIT_BATCH) {
            INDArray latents = plain.encode(images.range(from, Math.min(images.count(), from + FIT_BATCH)))
                    .castTo(DataType.DOUBLE);
            double[] sum = latents.sum(0, 2, 3).toDoubleVector();
            double[] square = latents.mul(latents).sum(0, 2, 3).toDoubleVector();
            for (int c = 0; c < channels; c++) {
                sums[c] += sum[c];
                squares[c] += square[c];
            }
        }
        double count = (double) images.count() * grid * grid;
        double[] deviations = new double[channels];
        for (int c = 0; c < channels; c++) {
            sums[c] /= count;
            deviations[c] = Math.max(LEAST_DEVIATION, Math.sqrt(Math.max(0, squares[c] / count - sums[c] * sums[c])));
        }
        return new BlockTransform(
                blockSide, grid, images.channels(), images.height(), images.width(), sums, deviations);
    }

    static BlockTransform of(JsonNode json) {
        return new BlockTransform(
                json.path("block_side").asInt(),
                json.path("grid").asInt(),
                json.path("image_channels").asInt(),
                json.path("height").asInt(),
                json.path("width").asInt(),
                numbers(json.path("means")),
                numbers(json.path("deviations")));
    }

    private static double[] numbers(JsonNode array) {
        double[] numbers = new double[array.size()];
        Arrays.setAll(numbers, i -> array.get(i).asDouble());
        return numbers;
    }

    @Override
    public String toJson() {
        ObjectNode json = new ObjectMapper().createObjectNode();
        json.put("kind", KIND);
        json.put("block_side", blockSide);
        json.put("grid", grid);
        json.put("image_channels", imageChannels);
        json.put("height", height);
        json.put("width", width);
        put(json.putArray("means"), means);
        put(json.putArray("deviations"), deviations);
        return json.toString();
    }

    private static void put(ArrayNode array, double[] numbers) {
        for (double number : numbers) {
            array.add(number);
        }
    }

    @Override
    public int channels() {
        return imageChannels * blockSide * blockSide;
    }

    @Override
    public int grid() {
        return grid;
    }

    private EdgePadding padding() {
        return new EdgePadding(height, width, blockSide * grid);
    }

    @Override
    public INDArray encode(PixelImages images) {
        if (images.channels() != imageChannels || images.height() != height || images.width() != width) {
            throw new IllegalArgumentException("This codec takes images of " + imageChannels + " x " + height + " x "
                    + width + " (channels, height, width), got " + images.channels() + " x " + images.height() + " x "
                    + images.width());
        }
        int n = images.count();
        int square = blockSide * blockSide;
        // [n, c, G b, G b] -> [n, c, G, b, G, b] -> [n, G, G, c, b, b] -> rows of block pixels
        INDArray blocks = padding()
                .pad(images.toSignedUnit())
                .reshape('c', n, imageChannels, grid, blockSide, grid, blockSide)
                .permute(0, 2, 4, 1, 3, 5)
                .dup('c')
                .reshape('c', (long) n * grid * grid * imageChannels, square);
        INDArray coefficients =
                blocks.mmul(transform.transpose()).dup('c').reshape('c', (long) n * grid * grid, channels());
        Nd4j.exec(new BroadcastAddOp(coefficients, vector(means, -1), coefficients, 1));
        Nd4j.exec(new BroadcastMulOp(
                coefficients, vector(Arrays.stream(deviations).map(d -> 1 / d).toArray(), 1), coefficients, 1));
        return coefficients
                .reshape('c', n, grid, grid, channels())
                .permute(0, 3, 1, 2)
                .dup('c');
    }

    @Override
    public PixelImages decode(INDArray latents) {
        long[] shape = latents.shape();
        if (latents.rank() != 4 || shape[1] != channels() || shape[2] != grid || shape[3] != grid) {
            throw new IllegalArgumentException("This codec's latents are [images, " + channels() + ", " + grid + ", "
                    + grid + "], got " + Arrays.toString(shape));
        }
        int n = (int) shape[0];
        INDArray coefficients = latents.castTo(DataType.FLOAT)
                .permute(0, 2, 3, 1)
                .dup('c')
                .reshape('c', (long) n * grid * grid, channels());
        Nd4j.exec(new BroadcastMulOp(coefficients, vector(deviations, 1), coefficients, 1));
        Nd4j.exec(new BroadcastAddOp(coefficients, vector(means, 1), coefficients, 1));
        int square = blockSide * blockSide;
        INDArray pixels = coefficients
                .reshape('c', (long) n * grid * grid * imageChannels, square)
                .mmul(transform)
                .dup('c')
                .reshape('c', n, grid, grid, imageChannels, blockSide, blockSide)
                .permute(0, 3, 1, 4, 2, 5)
                .dup('c')
                .reshape('c', n, imageChannels, (long) grid * blockSide, (long) grid * blockSide);
        return PixelImages.fromSignedUnit(padding().cut(pixels));
    }

    private static INDArray vector(double[] numbers, double factor) {
        return Nd4j.createFromArray(numbers).muli(factor).castTo(DataType.FLOAT);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof BlockTransform && toJson().equals(((BlockTransform) other).toJson());
    }

    @Override
    public int hashCode() {
        return toJson().hashCode();
    }
}
