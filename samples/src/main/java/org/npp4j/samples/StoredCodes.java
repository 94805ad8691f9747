package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.codes.CodeDataSetIterator;
import org.npp4j.llamagen.codes.CodeSetDescription;
import org.npp4j.llamagen.codes.CodeStore;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.VqTokenizer;

/** Codes that were extracted before, read as they are needed. */
final class StoredCodes implements TrainingData {
    /** Images whose codes tell one store from another if nothing describes it; reading all of a large one would take hours. */
    private static final int HASHED = 200;

    private final CodeStore codes;
    private final CodeStore otherCrops;
    private final CodeStore testCodes;
    private ImageTokenizer tokenizer;

    private StoredCodes(CodeStore codes, CodeStore otherCrops, CodeStore testCodes, ImageTokenizer tokenizer) {
        this.codes = codes;
        this.otherCrops = otherCrops;
        this.testCodes = testCodes;
        this.tokenizer = tokenizer;
    }

    /**
     * Opens codes.
     *
     * @param path of the codes to train on
     * @param testPath of codes to test on, or null
     * @param tokenizer that draws sheets, or null
     * @return the data
     * @throws IOException if they cannot be read
     */
    static StoredCodes open(Path path, Path testPath, ImageTokenizer tokenizer) throws IOException {
        Optional<Path> other = CodeStore.otherCrops(path);
        CodeStore codes = CodeStore.open(path);
        try {
            return new StoredCodes(
                    codes,
                    other.isPresent() ? CodeStore.open(other.get()) : null,
                    testPath == null ? null : CodeStore.open(testPath),
                    tokenizer);
        } catch (IOException | RuntimeException e) {
            codes.close();
            throw e;
        }
    }

    @Override
    public Integer vocabulary() {
        return orNull(codes.vocabulary());
    }

    @Override
    public Integer classes() {
        return orNull(codes.classes());
    }

    private static Integer orNull(OptionalInt value) {
        return value.isPresent() ? value.getAsInt() : null;
    }

    /** Of published codes the number of tokens alone is known. */
    @Override
    public TokenGrid grid() {
        return codes.description().isPresent() ? codes.grid() : null;
    }

    @Override
    public void requireFits(GptSpec model) {
        requireTokens(codes, model);
        if (testCodes != null) {
            requireTokens(testCodes, model);
        }
        if (tokenizer instanceof VqTokenizer vq) {
            tokenizer = vq.forGrid(model.grid()); // it was loaded before the grid was known
        }
        if (tokenizer != null
                && (!tokenizer.grid().equals(model.grid()) || tokenizer.vocabulary() < model.vocabulary())) {
            throw new IllegalArgumentException("The model has " + model.vocabulary() + " codes on a " + model.grid()
                    + ", the tokenizer of --vq-ckpt " + tokenizer.vocabulary() + " codes on a " + tokenizer.grid());
        }
    }

    private static void requireTokens(CodeStore store, GptSpec model) {
        if (store.tokens() != model.grid().tokens()) {
            throw new IllegalArgumentException(store.path() + " holds " + store.tokens() + " tokens an image, but"
                    + " --image-size and --downsample-size give a " + model.grid() + ", "
                    + model.grid().tokens() + " tokens");
        }
    }

    @Override
    public Map<String, String> description() {
        Map<String, String> description = new LinkedHashMap<>();
        describe("", codes, description);
        if (otherCrops != null) {
            describe("other crops, ", otherCrops, description);
        }
        if (testCodes != null) {
            describe("test, ", testCodes, description);
        }
        return description;
    }

    private static void describe(String prefix, CodeStore store, Map<String, String> description) {
        description.put(prefix + "images", Integer.toString(store.images()));
        description.put(prefix + "crops", Integer.toString(store.crops()));
        Optional<String> described = store.description().map(CodeSetDescription::codesSha256);
        if (described.isPresent()) {
            description.put(prefix + "SHA-256 of the codes", described.get());
        } else {
            description.put(prefix + "SHA-256 of the codes of some images", sha256(store));
        }
    }

    private static String sha256(CodeStore store) {
        Sha256 hash = new Sha256();
        int count = Math.min(HASHED, store.images());
        try {
            for (int i = 0; i < count; i++) {
                int image = (int) ((long) i * store.images() / count);
                hash.add(store.codes(image, 0)).add(store.label(image));
            }
        } catch (IOException e) {
            throw new AppException(e.getMessage(), e);
        }
        return hash.hex();
    }

    @Override
    public long images() {
        return codes.images();
    }

    @Override
    public EpochDataSetIterator batches(GptSpec model, int batchSize, long seed) {
        return new CodeDataSetIterator.Builder(codes)
                .otherCrops(otherCrops)
                .limits(model.vocabulary(), model.classes())
                .batches(batchSize, false)
                .seed(seed)
                .build();
    }

    @Override
    public MultiDataSetIterator test(GptSpec model, int batchSize) {
        return testCodes == null
                ? null
                : new CodeDataSetIterator.Builder(testCodes)
                        .limits(model.vocabulary(), model.classes())
                        .batches(batchSize, true)
                        .build();
    }

    @Override
    public ImageTokenizer tokenizer() {
        return tokenizer;
    }

    @Override
    public void close() {
        codes.close();
        if (otherCrops != null) {
            otherCrops.close();
        }
        if (testCodes != null) {
            testCodes.close();
        }
    }

    @Override
    public String toString() {
        return codes.path() + ": " + codes.images() + " images, " + codes.crops() + " crops of " + codes.tokens()
                + " tokens each"
                + (otherCrops == null ? "" : "; half of the draws from " + otherCrops.path())
                + (testCodes == null ? "" : "; tested on " + testCodes.images() + " images of " + testCodes.path());
    }
}
