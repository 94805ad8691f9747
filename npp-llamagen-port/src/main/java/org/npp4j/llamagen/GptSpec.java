package org.npp4j.llamagen;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.npp4j.layers.TokenGrid;

/**
 * The sizes of a LlamaGen GPT; everything that decides the shapes of its parameters.
 *
 * <p>It is conditioned on a class, one token looked up in a table, or on a caption, {@code conditionTokens} vectors of
 * width {@code captionWidth} that another model made from a text.
 *
 * @param layers transformer blocks
 * @param heads H
 * @param keyValueHeads G, a divisor of H
 * @param width D
 * @param feedForwardWidth F
 * @param vocabulary V, codes of the tokenizer
 * @param classes class labels, without the one that stands for "no class"; 0 if conditioned on captions
 * @param noClassRow whether the class table has a row for "no class", which guidance needs; false if conditioned on captions
 * @param grid tokens of an image
 * @param rotaryBase base of the rotary frequencies
 * @param epsilon added to mean squares in the norms
 * @param conditionTokens C, positions before the image: 1 for a class, the vectors of a caption otherwise
 * @param captionWidth width of a caption's vectors; 0 if conditioned on classes
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
        double epsilon,
        int conditionTokens,
        int captionWidth) {

    private static final int PUBLISHED_CAPTION_TOKENS = 120;
    private static final int PUBLISHED_CAPTION_WIDTH = 2048;

    /**
     * Checks the sizes.
     *
     * @param layers at least 1
     * @param heads at least 1
     * @param keyValueHeads a divisor of the heads
     * @param width a multiple of 4 x heads
     * @param feedForwardWidth at least 1
     * @param vocabulary at least 1
     * @param classes at least 1, or 0 if conditioned on captions
     * @param noClassRow whether there is a row for "no class"
     * @param grid tokens of an image
     * @param rotaryBase a finite number above 0
     * @param epsilon a finite number above 0
     * @param conditionTokens 1, or at least 1 if conditioned on captions
     * @param captionWidth 0, or at least 1 if conditioned on captions
     * @throws IllegalArgumentException if a size is below 1, the width is not a multiple of 4 x heads, the key/value heads
     *     do not divide the heads, the rotary base or epsilon is not a finite number above 0, or the sizes of classes and
     *     captions are mixed
     * @throws NullPointerException if there is no grid
     */
    public GptSpec {
        requirePositive(layers, "layers");
        requirePositive(heads, "heads");
        requirePositive(keyValueHeads, "keyValueHeads");
        requirePositive(width, "width");
        requirePositive(feedForwardWidth, "feedForwardWidth");
        requirePositive(vocabulary, "vocabulary");
        if (captionWidth == 0) {
            requirePositive(classes, "classes");
            if (conditionTokens != 1) {
                throw new IllegalArgumentException("A class is 1 condition token, got " + conditionTokens
                        + ". Give a captionWidth to condition on captions");
            }
        } else {
            requirePositive(captionWidth, "captionWidth");
            requirePositive(conditionTokens, "conditionTokens");
            if (classes != 0 || noClassRow) {
                throw new IllegalArgumentException("A GPT is conditioned on captions (captionWidth " + captionWidth
                        + ") or on classes, got " + classes + " classes " + (noClassRow ? "with" : "without")
                        + " a row for \"no class\" as well. Leave one of them out");
            }
        }
        Objects.requireNonNull(grid, "A GPT needs a token grid: TokenGrid.of(height, width)");
        if (width % (4L * heads) != 0) {
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

    /**
     * A GPT conditioned on classes.
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
     * @throws IllegalArgumentException as the constructor with all sizes
     */
    public GptSpec(
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
        this(
                layers,
                heads,
                keyValueHeads,
                width,
                feedForwardWidth,
                vocabulary,
                classes,
                noClassRow,
                grid,
                rotaryBase,
                epsilon,
                1,
                0);
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

    /**
     * The settings of a configuration file; see {@link GptConfig}, which also reads its dropouts.
     *
     * @param file a config.json
     * @return the specification
     * @throws IOException if the file cannot be read
     * @throws IllegalArgumentException if it does not describe a GPT; the message names the file and the key
     */
    public static GptSpec read(Path file) throws IOException {
        return GptConfig.read(file).spec();
    }

    /** {@return a builder with these sizes, to change some of them} */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /** {@return whether the condition is a caption; otherwise it is a class} */
    public boolean textConditional() {
        return captionWidth > 0;
    }

    /** {@return rows of the class table; 0 if conditioned on captions} */
    public int classRows() {
        return classes + (noClassRow ? 1 : 0);
    }

    /**
     * The number of parameters of the whole model, for captions with the unconditional embedding, C x captionWidth, which
     * published counts leave out (PyTorch holds it as a buffer).
     *
     * @return parameters
     */
    public long parameters() {
        long headWidth = width / heads;
        long block = width * (heads + 2L * keyValueHeads) * headWidth
                + (long) width * width
                + 3L * width * feedForwardWidth
                + 2L * width;
        long captions = (long) captionWidth * width + (long) conditionTokens * captionWidth;
        long condition = textConditional() ? captions + (long) width * width : (long) classRows() * width;
        return layers * block + condition + (2L * vocabulary + 1) * width;
    }

    /** Changes the published settings. */
    public static final class Builder {
        private final int layers;
        private final int heads;
        private final int width;
        private int keyValueHeads;
        private int feedForwardWidth;
        private int feedForwardMultiple = 256;
        private int vocabulary = 16384;
        private int classes = 1000;
        private boolean noClassRow = true;
        private TokenGrid grid = TokenGrid.of(16, 16);
        private double rotaryBase = 10000;
        private double epsilon = 1e-5;
        private int conditionTokens = 1;
        private int captionWidth;

        private Builder(GptSpec spec) {
            layers = spec.layers;
            heads = spec.heads;
            width = spec.width;
            keyValueHeads = spec.keyValueHeads;
            feedForwardWidth = spec.feedForwardWidth;
            vocabulary = spec.vocabulary;
            classes = spec.classes;
            noClassRow = spec.noClassRow;
            grid = spec.grid;
            rotaryBase = spec.rotaryBase;
            epsilon = spec.epsilon;
            conditionTokens = spec.conditionTokens;
            captionWidth = spec.captionWidth;
        }

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
            feedForwardWidth = 0;
            return this;
        }

        /**
         * The feed-forward width itself, where it is not 8/3 D rounded up.
         *
         * @param feedForwardWidth F, at least 1
         * @return this
         */
        public Builder feedForwardWidth(int feedForwardWidth) {
            requirePositive(feedForwardWidth, "feedForwardWidth");
            this.feedForwardWidth = feedForwardWidth;
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
         * Conditions on class labels.
         *
         * @param classes without the one that stands for "no class"
         * @return this
         */
        public Builder classes(int classes) {
            if (captionWidth != 0) {
                noClassRow = true;
                conditionTokens = 1;
                captionWidth = 0;
            }
            this.classes = classes;
            return this;
        }

        /**
         * Conditions on captions of the published size, 120 vectors of width 2048, instead of classes.
         *
         * @return this
         */
        public Builder captions() {
            return captions(PUBLISHED_CAPTION_TOKENS, PUBLISHED_CAPTION_WIDTH);
        }

        /**
         * Conditions on captions instead of classes.
         *
         * @param tokens C, vectors of a caption, at least 1
         * @param width of a vector, at least 1
         * @return this
         */
        public Builder captions(int tokens, int width) {
            requirePositive(tokens, "conditionTokens");
            requirePositive(width, "captionWidth");
            classes = 0;
            noClassRow = false;
            conditionTokens = tokens;
            captionWidth = width;
            return this;
        }

        /**
         * Whether the class table has a row for "no class". Without it there is no class dropout and no guidance. Models
         * of captions have no class table; they always have an unconditional embedding.
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
            return new GptSpec(
                    layers,
                    heads,
                    keyValueHeads,
                    width,
                    feedForwardWidth > 0 ? feedForwardWidth : roundedFeedForwardWidth(),
                    vocabulary,
                    classes,
                    noClassRow,
                    grid,
                    rotaryBase,
                    epsilon,
                    conditionTokens,
                    captionWidth);
        }

        private int roundedFeedForwardWidth() {
            long exact = 8L * width / 3;
            long rounded = (exact + feedForwardMultiple - 1) / feedForwardMultiple * feedForwardMultiple;
            if (rounded > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("A feed-forward width of " + rounded + ", which follows from width "
                        + width + " and multiple " + feedForwardMultiple + ", is too large; at most "
                        + Integer.MAX_VALUE + " is allowed");
            }
            return (int) rounded;
        }
    }
}
