package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A small image set with classes, tokenized at the start and kept in memory. */
final class TokenizedImages implements TrainingData {
    private static final Logger LOG = LoggerFactory.getLogger(TokenizedImages.class);
    /** Pictures are encoded so many at a time. */
    private static final int ENCODED = 256;

    private final Path folder;
    private final ImageTokenizer tokenizer;
    private final int classes;
    private final int[][] trainTokens;
    private final int[] trainLabels;
    private final int[][] testTokens;
    private final int[] testLabels;

    private TokenizedImages(Path folder, ImageTokenizer tokenizer, LabelledImages train, LabelledImages test) {
        this.folder = folder;
        this.tokenizer = tokenizer;
        classes = Math.max(train.classes(), test == null ? 0 : test.classes());
        trainTokens = encode(tokenizer, train.images());
        trainLabels = train.labels();
        testTokens = test == null ? null : encode(tokenizer, test.images());
        testLabels = test == null ? null : test.labels();
    }

    private static int[][] encode(ImageTokenizer tokenizer, PixelImages images) {
        int[][] tokens = new int[images.count()][];
        for (int from = 0; from < tokens.length; from += ENCODED) {
            int[] part = new int[Math.min(ENCODED, tokens.length - from)];
            for (int i = 0; i < part.length; i++) {
                part[i] = from + i;
            }
            System.arraycopy(tokenizer.encode(images.select(part)), 0, tokens, from, part.length);
        }
        return tokens;
    }

    /**
     * Reads and tokenizes a folder.
     *
     * @param folder the four IDX files of (Fashion-)MNIST, or binary files of CIFAR-10
     * @param tokenizerFile of the tokenizer; null for a block codebook that is learned from the images
     * @param learned where that one is kept
     * @return the data
     * @throws IOException if a file cannot be read
     */
    static TokenizedImages load(Path folder, Path tokenizerFile, Path learned) throws IOException {
        SmallImageSet images = SmallImageSet.load(folder);
        return new TokenizedImages(
                folder, tokenizer(tokenizerFile, learned, images.train().images()), images.train(), images.test());
    }

    private static ImageTokenizer tokenizer(Path file, Path learned, PixelImages images) throws IOException {
        if (file != null) {
            ImageTokenizer tokenizer = TokenizerFile.load(file);
            return tokenizer instanceof VqTokenizer vq ? vq.forImages(images.height(), images.width()) : tokenizer;
        }
        if (!Files.exists(learned)) {
            LOG.info("Learning a block codebook from the images (--vq-ckpt takes another tokenizer) ..");
            // not of the run's seed: runs of different seeds are compared on the same codes
            BlockCodebook.train(images, BlockCodebook.Settings.defaults()).save(learned);
        }
        return BlockCodebook.load(learned);
    }

    @Override
    public Integer vocabulary() {
        return tokenizer.vocabulary();
    }

    @Override
    public Integer classes() {
        return classes;
    }

    @Override
    public TokenGrid grid() {
        return tokenizer.grid();
    }

    @Override
    public void requireFits(GptSpec model) {
        // vocabulary, classes and grid are the data's own: see TrainModelOptions
    }

    @Override
    public Map<String, String> description() {
        Map<String, String> description = new LinkedHashMap<>();
        description.put("images", Integer.toString(trainTokens.length));
        description.put("SHA-256 of codes and classes", sha256(trainTokens, trainLabels));
        if (testTokens != null) {
            description.put("test images", Integer.toString(testTokens.length));
            description.put("SHA-256 of test codes and classes", sha256(testTokens, testLabels));
        }
        return description;
    }

    private static String sha256(int[][] tokens, int[] labels) {
        Sha256 hash = new Sha256();
        for (int i = 0; i < tokens.length; i++) {
            hash.add(tokens[i]).add(labels[i]);
        }
        return hash.hex();
    }

    @Override
    public long images() {
        return trainTokens.length;
    }

    @Override
    public EpochDataSetIterator batches(GptSpec model, int batchSize, long seed) {
        return new TokenDataSetIterator(trainTokens, trainLabels, batchSize, false, seed);
    }

    @Override
    public MultiDataSetIterator test(GptSpec model, int batchSize) {
        return testTokens == null ? null : new TokenDataSetIterator(testTokens, testLabels, batchSize, true, 0);
    }

    @Override
    public ImageTokenizer tokenizer() {
        return tokenizer;
    }

    @Override
    public void close() {
        // everything is in memory
    }

    @Override
    public String toString() {
        return folder + ": " + trainTokens.length + " training"
                + (testTokens == null ? "" : " and " + testTokens.length + " test") + " images, " + classes
                + " classes, " + tokenizer.vocabulary() + " codes on a " + tokenizer.grid();
    }
}
