package org.npp4j.llamagen.tokenizer;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A VQ tokenizer: a convolutional encoder, a codebook, a convolutional decoder. It reads and writes the checkpoints of
 * LlamaGen's VQ-16 and VQ-8, and those of any other {@link VqConfig}.
 *
 * <p>The encoder gives a latent of length 1 for each of h x w tokens, h = H / downsampling. Its code is the one of the
 * codebook, whose codes have length 1 too, with the largest product; of equal products the lowest id. The decoder makes an
 * image of codes.
 *
 * <p>A tokenizer is made for one size of images; {@link #forImages} gives one for another size with the same weights. However
 * many images are given, few go through the networks at a time: as many as have the pixels of one of 256 x 256, at least
 * one. Calls from several threads wait for each other.
 *
 * <p>Source: van den Oord et al., "Neural Discrete Representation Learning" (arXiv 1711.00937); Esser et al., "Taming
 * Transformers" (arXiv 2012.09841); Sun et al., LlamaGen (arXiv 2406.06525).
 */
public final class VqTokenizer implements ImageTokenizer {
    /** Side of the published models' images in pixels. */
    public static final int PUBLISHED_SIDE = 256;

    private static final int CHANNELS = 3;

    /** Bounds the memory of one pass through a network. */
    private static final int PIXELS_PER_PASS = PUBLISHED_SIDE * PUBLISHED_SIDE;

    private final VqNetworks networks;
    private final int height;
    private final int width;
    private final TokenGrid grid;

    VqTokenizer(VqNetworks networks, int height, int width) {
        this.networks = networks;
        this.grid = networks.config().grid(height, width);
        this.height = height;
        this.width = width;
    }

    /**
     * Reads a tokenizer.
     *
     * @param file PyTorch or safetensors, weights under {@code model} or at the top
     * @param config its sizes; null to tell them from the tensors
     * @param height of images in pixels
     * @param width of images in pixels
     * @return the tokenizer
     * @throws IOException if the file cannot be read, or its tensors are not those of a VQ tokenizer; all that are
     *     missing, unexpected or mis-shaped are listed
     * @throws IllegalArgumentException if the downsampling does not divide height and width
     */
    public static VqTokenizer load(Path file, VqConfig config, int height, int width) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException("There is no tokenizer file " + file + ". Check the path");
        }
        try (TensorFile open = TensorFile.open(file)) {
            return load(open, config, height, width);
        }
    }

    static VqTokenizer load(TensorFile file, VqConfig config, int height, int width) throws IOException {
        VqCheckpoint checkpoint = VqCheckpoint.of(file);
        VqConfig sizes = config == null ? checkpoint.config() : config;
        sizes.grid(height, width);
        return new VqTokenizer(checkpoint.load(sizes), height, width);
    }

    /**
     * A tokenizer with random weights, to be timed or tested.
     *
     * @param config sizes
     * @param height of images in pixels
     * @param width of images in pixels
     * @param seed of the weights
     * @return the tokenizer
     * @throws IllegalArgumentException if the downsampling does not divide height and width
     */
    public static VqTokenizer random(VqConfig config, int height, int width, long seed) {
        config.grid(height, width);
        return new VqTokenizer(VqNetworks.random(config, seed), height, width);
    }

    /**
     * The same tokenizer for images of another size.
     *
     * @param newHeight of images in pixels
     * @param newWidth of images in pixels
     * @return a tokenizer that shares the weights
     * @throws IllegalArgumentException if the downsampling does not divide the sides
     */
    public VqTokenizer forImages(int newHeight, int newWidth) {
        return new VqTokenizer(networks, newHeight, newWidth);
    }

    /**
     * The same tokenizer for another token grid.
     *
     * @param newGrid tokens of an image
     * @return a tokenizer that shares the weights, for images of grid x downsampling pixels
     */
    public VqTokenizer forGrid(TokenGrid newGrid) {
        int f = config().downsampling();
        return forImages(Math.multiplyExact(newGrid.getHeight(), f), Math.multiplyExact(newGrid.getWidth(), f));
    }

    /**
     * Writes a checkpoint in the published layout.
     *
     * @param file .pt, .pth or .safetensors; one that exists is replaced, whole or not at all
     * @throws IllegalArgumentException if the name ends otherwise
     * @throws IOException if it cannot be written
     */
    public void save(Path file) throws IOException {
        synchronized (networks) {
            VqCheckpoint.write(file, networks);
        }
    }

    /** Views of its weights by published name. */
    Map<String, INDArray> weights() {
        return networks.weights();
    }

    void setWeights(Map<String, INDArray> weights) {
        synchronized (networks) {
            networks.weights().forEach((name, target) -> target.assign(weights.get(name)));
            networks.codebookChanged();
        }
    }

    /** {@return its sizes} */
    public VqConfig config() {
        return networks.config();
    }

    /** {@return H, the rows of an image} */
    public int imageHeight() {
        return height;
    }

    /** {@return W, the columns of an image} */
    public int imageWidth() {
        return width;
    }

    @Override
    public TokenGrid grid() {
        return grid;
    }

    @Override
    public int vocabulary() {
        return config().codebookSize();
    }

    /**
     * {@inheritDoc} Grey images are taken as colour images with three equal channels.
     */
    @Override
    public int[][] encode(PixelImages images) {
        requireSize(images.channels() == 1 ? CHANNELS : images.channels(), images.height(), images.width());
        int[][] ids = new int[images.count()][];
        for (int from = 0; from < ids.length; from += imagesPerPass()) {
            int to = Math.min(from + imagesPerPass(), ids.length);
            encodePass(signedUnit(images.range(from, to)), ids, from);
        }
        return ids;
    }

    /**
     * Tokens of images.
     *
     * @param images [B, 3, H, W] in [-1, 1]
     * @return ids [B][N]
     * @throws IllegalArgumentException if the array has another shape
     */
    public int[][] encode(INDArray images) {
        requireShape(images);
        int[][] ids = new int[(int) images.size(0)][];
        for (int from = 0; from < ids.length; from += imagesPerPass()) {
            encodePass(pass(images, from), ids, from);
        }
        return ids;
    }

    private void encodePass(INDArray images, int[][] ids, int from) {
        int tokens = grid.tokens();
        int[] found = networks.nearest(networks.latents(images));
        for (int start = 0; start < found.length; start += tokens) {
            ids[from + start / tokens] = Arrays.copyOfRange(found, start, start + tokens);
        }
    }

    /**
     * What the codes are chosen by.
     *
     * @param images [B, 3, H, W] in [-1, 1]
     * @return latents [B, N, D] of length 1
     * @throws IllegalArgumentException if the array has another shape
     */
    public INDArray latents(INDArray images) {
        requireShape(images);
        int count = (int) images.size(0);
        int perImage = Math.multiplyExact(grid.tokens(), config().codebookDim());
        float[] all = new float[Math.multiplyExact(count, perImage)];
        for (int from = 0; from < count; from += imagesPerPass()) {
            float[] latents = networks.latents(pass(images, from));
            System.arraycopy(latents, 0, all, from * perImage, latents.length);
        }
        return Nd4j.createFromArray(all).reshape('c', count, grid.tokens(), config().codebookDim());
    }

    @Override
    public PixelImages decode(int[][] ids) {
        TokenIds.require(ids, grid, vocabulary());
        int perImage = Math.multiplyExact(CHANNELS, Math.multiplyExact(height, width));
        byte[] pixels = new byte[Math.multiplyExact(ids.length, perImage)];
        for (int from = 0; from < ids.length; from += imagesPerPass()) {
            INDArray images = networks.decode(pass(ids, from), grid);
            byte[] some = PixelImages.fromSignedUnit(images).toBytes();
            images.close();
            System.arraycopy(some, 0, pixels, from * perImage, some.length);
        }
        return new PixelImages(ids.length, CHANNELS, height, width, pixels);
    }

    /**
     * Images of tokens as the decoder gives them.
     *
     * @param ids [B][N]
     * @return images [B, 3, H, W], nominally in [-1, 1]
     * @throws IllegalArgumentException if there are none, a row has another length or an id is outside the vocabulary
     */
    public INDArray decodeToSignedUnit(int[][] ids) {
        TokenIds.require(ids, grid, vocabulary());
        INDArray all = Nd4j.createUninitialized(DataType.FLOAT, ids.length, CHANNELS, height, width);
        for (int from = 0; from < ids.length; from += imagesPerPass()) {
            int[][] some = pass(ids, from);
            try (INDArray images = networks.decode(some, grid)) {
                all.get(NDArrayIndex.interval(from, from + some.length)).assign(images);
            }
        }
        return all;
    }

    private int imagesPerPass() {
        return Math.max(1, PIXELS_PER_PASS / height / width);
    }

    private INDArray pass(INDArray images, int from) {
        return images.get(NDArrayIndex.interval(from, Math.min(from + imagesPerPass(), images.size(0))))
                .castTo(DataType.FLOAT);
    }

    private int[][] pass(int[][] ids, int from) {
        return Arrays.copyOfRange(ids, from, Math.min(from + imagesPerPass(), ids.length));
    }

    /** [B, 1 or 3, H, W] -> floats [B, 3, H, W]. */
    private static INDArray signedUnit(PixelImages images) {
        INDArray floats = images.toSignedUnit();
        return images.channels() == 1 ? Nd4j.concat(1, floats, floats, floats) : floats;
    }

    private void requireShape(INDArray images) {
        if (images.rank() != 4 || images.size(0) < 1) {
            throw new IllegalArgumentException("Images must have the shape [count, " + CHANNELS + ", " + height + ", "
                    + width + "], at least one, got " + Arrays.toString(images.shape()));
        }
        requireSize(images.size(1), images.size(2), images.size(3));
    }

    private void requireSize(long channels, long h, long w) {
        if (channels != CHANNELS || h != height || w != width) {
            throw new IllegalArgumentException("This tokenizer is for images of " + CHANNELS + " x " + height + " x "
                    + width + " (channels x height x width), got " + channels + " x " + h + " x " + w
                    + ". Resize the images, or ask for the tokenizer of this size: forImages(height, width)");
        }
    }
}
