package org.npp4j.llamagen;

import java.util.Objects;
import org.npp4j.layers.TokenGrid;

/**
 * The sizes of a class-conditional LlamaGen GPT; everything that decides the shapes of its parameters.
 *
 * @param layers transformer blocks
 * @param heads H
 * @param keyValueHeads G, a divisor of H
 * @param width D
 * @param feedForwardWidth F
 * @param vocabulary V, codes of the tokenizer
 * @param classes class labels, without the one that stands for "no class"
 * @param noClassRow whether the class table has a row for "no class", which guidance needs
 * @param grid tokens of an image
 * @param rotaryBase base of the rotary frequencies
 * @param epsilon added to mean squares in the norms
 */
public record GptSpec(
        int layers,
        int heads,
        int keyValueHeads,
        int width,
        int feedForwardWidth,
        int vocabulary,
        int classes,
        boolean noClassRow,
        TokenGrid grid,
        double rotaryBase,
        double epsilon) {

    /**
     * Checks the sizes.
     *
     * @param layers at least 1
     * @param heads at least 1
     * @param keyValueHeads a divisor of the heads
     * @param width a multiple of 4 x heads
     * @param feedForwardWidth at least 1
     * @param vocabulary at least 1
     * @param classes at least 1
     * @param noClassRow whether there is a row for "no class"
     * @param grid tokens of an image
     * @param rotaryBase a finite number above 0
     * @param epsilon a finite number above 0
     * @throws IllegalArgumentException if a size is below 1, the width is not a multiple of 4 x heads, the key/value heads
     *     do not divide the heads, or the rotary base or epsilon is not a finite number above 0
     * @throws NullPointerException if there is no grid
     */
    public GptSpec {
        requirePositive(layers, "layers");
        requirePositive(heads, "heads");
        requirePositive(keyValueHeads, "keyValueHeads");
        requirePositive(width, "width");
        requirePositive(feedForwardWidth, "feedForwardWidth");
        requirePositive(vocabulary, "vocabulary");
        requirePositive(classes, "classes");
        Objects.requireNonNull(grid, "A GPT needs a token grid: TokenGrid.of(height, width)");
        if (width % (4 * heads) != 0) {
            throw new IllegalArgumentException(
                    "The width must be a multiple of 4 x heads, got width " + width + " and " + heads + " heads");
        }
        if (heads % keyValueHeads != 0) {
            throw new IllegalArgumentException("The key/value heads must divide the heads, got " + heads + " heads and "
                    + keyValueHeads + " key/value heads");
        }
        requireAboveZero(rotaryBase, "rotaryBase");
        requireAboveZero(epsilon, "epsilon");
    }

    private static void requireAboveZero(double value, String name) {
        if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("A GPT's " + name + " must be a finite number above 0, got " + value);
        }
    }

    private static void requirePositive(int value, String name) {
        if (value < 1) {
            throw new IllegalArgumentException("A GPT's " + name + " must be at least 1, got " + value);
        }
    }

    /**
     * A GPT of one shape with the published settings for everything else: as many key/value heads as heads, a
     * feed-forward width of 8/3 D rounded up to a multiple of 256, 16384 codes, 1000 classes and "no class", 16 x 16
     * tokens, rotary base 10000, epsilon 1e-5.
     *
     * @param layers transformer blocks
     * @param heads H
     * @param width D
     * @return a builder to change the rest
     */
    public static Builder of(int layers, int heads, int width) {
        return new Builder(layers, heads, width);
    }

    /** {@return rows of the class table} */
    public int classRows() {
        return classes + (noClassRow ? 1 : 0);
    }

    /** {@return the number of parameters of the whole model} */
    public long parameters() {
        long headWidth = width / heads;
        long block = width * (heads + 2L * keyValueHeads) * headWidth
                + (long) width * width
                + 3L * width * feedForwardWidth
                + 2L * width;
        return layers * block + (2L * vocabulary + classRows() + 1) * width;
    }

    /** Changes the published settings. */
    public static final class Builder {
        private final int layers;
        private final int heads;
        private final int width;
        private int keyValueHeads;
        private int feedForwardMultiple = 256;
        private int vocabulary = 16384;
        private int classes = 1000;
        private boolean noClassRow = true;
        private TokenGrid grid = TokenGrid.of(16, 16);
        private double rotaryBase = 10000;
        private double epsilon = 1e-5;

        private Builder(int layers, int heads, int width) {
            this.layers = layers;
            this.heads = heads;
            this.width = width;
            keyValueHeads = heads;
        }

        /**
         * Grouped queries.
         *
         * @param keyValueHeads G, a divisor of the heads
         * @return this
         */
        public Builder keyValueHeads(int keyValueHeads) {
            this.keyValueHeads = keyValueHeads;
            return this;
        }

        /**
         * What the feed-forward width, 8/3 D, is rounded up to a multiple of.
         *
         * @param multiple at least 1
         * @return this
         */
        public Builder feedForwardMultiple(int multiple) {
            requirePositive(multiple, "feedForwardMultiple");
            feedForwardMultiple = multiple;
            return this;
        }

        /**
         * Codes of the tokenizer.
         *
         * @param vocabulary V
         * @return this
         */
        public Builder vocabulary(int vocabulary) {
            this.vocabulary = vocabulary;
            return this;
        }

        /**
         * Class labels.
         *
         * @param classes without the one that stands for "no class"
         * @return this
         */
        public Builder classes(int classes) {
            this.classes = classes;
            return this;
        }

        /**
         * Whether the class table has a row for "no class". Without it there is no class dropout and no guidance.
         *
         * @param present whether it is there
         * @return this
         */
        public Builder noClassRow(boolean present) {
            noClassRow = present;
            return this;
        }

        /**
         * Tokens of an image.
         *
         * @param grid rows and columns
         * @return this
         */
        public Builder grid(TokenGrid grid) {
            this.grid = grid;
            return this;
        }

        /**
         * Base of the rotary frequencies.
         *
         * @param rotaryBase above 0
         * @return this
         */
        public Builder rotaryBase(double rotaryBase) {
            this.rotaryBase = rotaryBase;
            return this;
        }

        /**
         * Added to mean squares in the norms.
         *
         * @param epsilon above 0
         * @return this
         */
        public Builder epsilon(double epsilon) {
            this.epsilon = epsilon;
            return this;
        }

        /**
         * The sizes.
         *
         * @return the specification
         * @throws IllegalArgumentException if the sizes do not fit together
         */
        public GptSpec build() {
            long exact = 8L * width / 3;
            long rounded = (exact + feedForwardMultiple - 1) / feedForwardMultiple * feedForwardMultiple;
            return new GptSpec(
                    layers,
                    heads,
                    keyValueHeads,
                    width,
                    Math.toIntExact(rounded),
                    vocabulary,
                    classes,
                    noClassRow,
                    grid,
                    rotaryBase,
                    epsilon);
        }
    }
}
