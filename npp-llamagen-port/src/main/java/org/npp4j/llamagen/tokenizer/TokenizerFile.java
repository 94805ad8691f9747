package org.npp4j.llamagen.tokenizer;

import java.io.BufferedInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.checkpoint.TensorFile;

/**
 * Reads whatever tokenizer a file holds; its kind is told from the content: a {@link BlockCodebook} or a {@link
 * VqTokenizer}.
 */
public final class TokenizerFile {
    private TokenizerFile() {}

    /**
     * Reads a tokenizer; one that works on several sizes of images for {@value VqTokenizer#PUBLISHED_SIDE} x {@value
     * VqTokenizer#PUBLISHED_SIDE} pixels.
     *
     * @param file the file: the JSON of {@link BlockCodebook#save}, or a VQ checkpoint, .pt or .safetensors
     * @return its tokenizer
     * @throws IOException if the file is missing, damaged, or holds no tokenizer of a known kind
     */
    public static ImageTokenizer load(Path file) throws IOException {
        return load(file, null, null);
    }

    /**
     * Reads a tokenizer for a token grid.
     *
     * @param file as {@link #load(Path)}
     * @param config sizes of a VQ tokenizer; null to tell them from its tensors
     * @param grid of a tokenizer that works on several sizes of images; null for images of {@value
     *     VqTokenizer#PUBLISHED_SIDE} x {@value VqTokenizer#PUBLISHED_SIDE} pixels. A block codebook has one grid of its own
     * @return its tokenizer
     * @throws IllegalArgumentException if sizes are given for a block codebook
     * @throws IOException if the file is missing, damaged, or holds no tokenizer of a known kind
     */
    public static ImageTokenizer load(Path file, VqConfig config, TokenGrid grid) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException("There is no tokenizer file " + file + ". Check the path");
        }
        int first = firstByte(file);
        if (first < 0) {
            throw new IOException(file + " holds no tokenizer: it is empty. Get the file again");
        }
        if (first == '{') {
            if (config != null) {
                throw new IllegalArgumentException(
                        file + " is a block codebook, which describes itself; leave the configuration out");
            }
            return BlockCodebook.load(file);
        }
        try (TensorFile open = TensorFile.open(file)) {
            VqConfig sizes = config == null ? VqCheckpoint.of(open).config() : config;
            int f = sizes.downsampling();
            return VqTokenizer.load(
                    open,
                    sizes,
                    grid == null ? VqTokenizer.PUBLISHED_SIDE : Math.multiplyExact(grid.getHeight(), f),
                    grid == null ? VqTokenizer.PUBLISHED_SIDE : Math.multiplyExact(grid.getWidth(), f));
        }
    }

    /**
     * The sizes of the VQ tokenizer in a checkpoint, told from its tensors, all of which must be there. No weights are read.
     *
     * @param file a VQ checkpoint, .pt or .safetensors
     * @return its sizes
     * @throws IOException if the file is missing, damaged, or holds no VQ tokenizer
     */
    public static VqConfig sizes(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            VqCheckpoint checkpoint = VqCheckpoint.of(open);
            VqConfig sizes = checkpoint.config();
            checkpoint.requireFits(sizes);
            return sizes;
        }
    }

    /** The first byte that is no white space, or -1. */
    private static int firstByte(Path file) throws IOException {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file))) {
            int first = in.read();
            while (first >= 0 && Character.isWhitespace(first)) {
                first = in.read();
            }
            return first;
        }
    }
}
