package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.images.AbstractEpochDataSetIterator;
import org.npp4j.llamagen.images.EpochOrder;

/**
 * Batches of stored codes: every image once an epoch, in a new order, with one of its crops at random.
 *
 * <ul>
 *   <li>features: tokens [B, N] and classes [B, 1], INT32
 *   <li>labels: tokens [B, N], INT32, an array of their own
 * </ul>
 *
 * <p>Order and crops of epoch e depend on the seed and e alone. Given a second store of the same images, such as the published
 * {@code _105} folder of other crops, half of the draws come from it. Codes are read when their batch is asked for;
 * Deeplearning4j's fit prefetches ({@link #asyncSupported()} is true).
 */
public final class CodeDataSetIterator extends AbstractEpochDataSetIterator<MultiDataSet> {
    private static final long serialVersionUID = 1L;

    private final transient CodeStore codes;
    private final transient CodeStore otherCrops;
    private final int vocabulary;
    private final int classes;
    private final int part;
    private final int parts;

    private CodeDataSetIterator(Builder builder) {
        super(builder.codes.images() / builder.parts, builder.batchSize, builder.keepLastShort, builder.seed);
        codes = builder.codes;
        otherCrops = builder.otherCrops;
        vocabulary = Math.min(builder.vocabulary, codes.vocabulary().orElse(Integer.MAX_VALUE));
        classes = Math.min(builder.classes, codes.classes().orElse(Integer.MAX_VALUE));
        part = builder.part;
        parts = builder.parts;
    }

    /** What is read, and how: by default all of it, in batches of 256, without a last short one, with seed 0. */
    public static final class Builder {
        private final CodeStore codes;
        private CodeStore otherCrops;
        private int vocabulary = Integer.MAX_VALUE;
        private int classes = Integer.MAX_VALUE;
        private int batchSize = 256;
        private boolean keepLastShort;
        private long seed;
        private int part;
        private int parts = 1;

        /**
         * Batches of these codes.
         *
         * @param codes must stay open
         */
        public Builder(CodeStore codes) {
            this.codes = codes;
        }

        /**
         * Adds other crops of the same images.
         *
         * @param otherCrops must stay open; null for none
         * @return this
         */
        public Builder otherCrops(CodeStore otherCrops) {
            this.otherCrops = otherCrops;
            return this;
        }

        /**
         * Sets what codes and classes are allowed; what the store knows about itself holds too. Others are errors that
         * name their file.
         *
         * @param vocabulary V: codes from 0 to V - 1
         * @param classes K: classes from 0 to K - 1
         * @return this
         */
        public Builder limits(int vocabulary, int classes) {
            this.vocabulary = vocabulary;
            this.classes = classes;
            return this;
        }

        /**
         * Sets the batches.
         *
         * @param batchSize B, at least 1
         * @param keepLastShort whether an epoch ends with the smaller batch that is left over, or drops it
         * @return this
         */
        public Builder batches(int batchSize, boolean keepLastShort) {
            this.batchSize = batchSize;
            this.keepLastShort = keepLastShort;
            return this;
        }

        /**
         * Sets the seed of orders and crops.
         *
         * @param seed any number
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /**
         * Takes one of several parts of every epoch, of equal size: for several workers with the same seed. Up to
         * {@code parts} - 1 images of an epoch, other ones each time, are in no part.
         *
         * @param part from 0
         * @param parts how many, at least 1
         * @return this
         */
        public Builder part(int part, int parts) {
            this.part = part;
            this.parts = parts;
            return this;
        }

        /**
         * The iterator, at epoch 0.
         *
         * @return the iterator
         * @throws IllegalArgumentException if the stores do not belong together, a setting is out of range, or an epoch would
         *     have no batch
         */
        public CodeDataSetIterator build() {
            if (otherCrops != null
                    && (otherCrops.images() != codes.images() || otherCrops.tokens() != codes.tokens())) {
                throw new IllegalArgumentException(otherCrops.path() + " holds " + otherCrops.images() + " images of "
                        + otherCrops.tokens() + " tokens, " + codes.path() + " " + codes.images() + " of "
                        + codes.tokens()
                        + ". Both must hold crops of the same images: extract them from the same folder");
            }
            if (vocabulary < 1 || classes < 1 || parts < 1 || part < 0 || part >= parts) {
                throw new IllegalArgumentException(
                        "Vocabulary, classes and parts must be at least 1 and the part one of"
                                + " 0 to parts - 1, got vocabulary " + vocabulary + ", classes " + classes + ", part "
                                + part
                                + " of " + parts);
            }
            int images = codes.images() / parts;
            if (batchSize < 1 || images < 1 || !keepLastShort && batchSize > images) {
                throw new IllegalArgumentException("Batch size " + batchSize + " is not possible with " + images
                        + " images" + (parts > 1 ? " in each of " + parts + " parts" : "") + "; use 1 to " + images
                        + ", or keep the last short batch");
            }
            return new CodeDataSetIterator(this);
        }
    }

    /** Of the shuffled images, every {@code parts}-th one from {@code part} on. */
    @Override
    protected int[] order(int epoch) {
        int[] all = EpochOrder.shuffled(seed(), epoch, codes.images());
        int[] order = new int[imagesPerEpoch()];
        for (int i = 0; i < order.length; i++) {
            order[i] = all[part + i * parts];
        }
        return order;
    }

    /**
     * Reads a batch.
     *
     * @throws IllegalArgumentException if a code or class is outside its limits
     * @throws UncheckedIOException if codes cannot be read
     */
    @Override
    protected MultiDataSet batch(int epoch, int first, int[] images) {
        int[][] ids = new int[images.length][];
        int[][] classOf = new int[images.length][1];
        try {
            for (int i = 0; i < images.length; i++) {
                read(epoch, images[i], ids, classOf, i);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new MultiDataSet(
                new INDArray[] {Nd4j.createFromArray(ids), Nd4j.createFromArray(classOf)}, // [B, N], [B, 1]
                new INDArray[] {Nd4j.createFromArray(ids)}); // [B, N]
    }

    private void read(int epoch, int image, int[][] ids, int[][] classOf, int at) throws IOException {
        // All crops of both stores are equally likely where they have equally many, as published; and each store is.
        boolean other = otherCrops != null && EpochOrder.choice(~seed(), epoch, image, 2) == 1;
        CodeStore store = other ? otherCrops : codes;
        int[] row = store.codes(image, EpochOrder.choice(seed(), epoch, image, store.crops()));
        for (int id : row) {
            if (id < 0 || id >= vocabulary) {
                throw new IllegalArgumentException(
                        store.place(image) + " holds the code " + id + ", but codes must be below " + vocabulary
                                + ", the vocabulary. Were they made with another tokenizer?");
            }
        }
        int label = store.label(image);
        if (label < 0 || label >= classes) {
            throw new IllegalArgumentException("The label of " + store.place(image) + " is " + label
                    + ", but the classes run from 0 to " + (classes - 1));
        }
        ids[at] = row;
        classOf[at][0] = label;
    }

    /** {@return true: reading takes time, which a prefetching thread hides} */
    @Override
    public boolean asyncSupported() {
        return true;
    }
}
