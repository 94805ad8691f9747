package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.CodebookUsage;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/**
 * Whether stored codes are what they should be: of this tokenizer, of these pictures, of these classes, and not all the same.
 *
 * <p>Random crops of random images are decoded. Given the pictures, they are cut again and compared with what was decoded, and
 * encoded again and compared with what is stored. All labels are counted. How often each code occurs is counted over images
 * that are spread evenly.
 */
public final class CodeCheck {
    /** Less than this share of the codes that even draws would use is reported. */
    static final double LOW_USAGE = 0.25;

    /** More than this share of other codes over all samples is reported. Other hardware changes a few in a hundred. */
    static final double OTHER_CODES = 0.2;

    /** A sample of which more than this share is other codes is reported. */
    static final double OTHER_SAMPLE = 0.5;

    /** An error this many times that of encoding anew is reported. */
    static final double MUCH_LARGER = 1.5;

    /** A tokenizer is reported that gives pictures back with more than this error (17 dB) and than their mean colour has. */
    static final double POOR_ERROR = 0.02;

    /** A class that lacks more than this share of its pictures is reported. */
    static final double LOST_SHARE = 0.1;

    /** Images that the usage of codes is counted over. */
    private static final int USAGE_IMAGES = 2000;

    private static final int NAMED = 5;

    private final CodeStore store;
    private final ImageTokenizer tokenizer;
    private final Path tokenizerFile;
    private final ImageFolder pictures;
    private final CropPlan plan;
    private final List<String> warnings = new ArrayList<>();

    private CodeCheck(
            CodeStore store, ImageTokenizer tokenizer, Path tokenizerFile, ImageFolder pictures, CropPlan plan) {
        this.store = store;
        this.tokenizer = tokenizer;
        this.tokenizerFile = tokenizerFile;
        this.pictures = pictures;
        this.plan = plan;
    }

    /**
     * What was found.
     *
     * @param warnings what is not as it should be, in sentences
     * @param samples how many crops were decoded
     * @param error mean squared error of the decoded crops, pixels in [0, 1]; without pictures nothing
     * @param encodedAgainError the same for the crops encoded and decoded anew
     * @param sameCodes share of stored codes that encoding anew gives too
     * @param usageTokens tokens that usage and perplexity were counted over
     * @param used share of the codebook that occurs among them
     * @param perplexity e to the entropy of the codes in nats: 1 to V
     * @param classImages stored images of each class, up to the largest label
     * @param sheet the decoded crops; with pictures each behind its original
     */
    public record Result(
            List<String> warnings,
            int samples,
            OptionalDouble error,
            OptionalDouble encodedAgainError,
            OptionalDouble sameCodes,
            long usageTokens,
            double used,
            double perplexity,
            List<Integer> classImages,
            PixelImages sheet) {}

    /**
     * Checks codes.
     *
     * @param store the codes
     * @param tokenizer for the store's grid
     * @param tokenizerFile where it was read
     * @param pictures what the codes are of; null if they are not at hand
     * @param plan how they were cut; null without pictures
     * @param samples crops to decode, at least 1
     * @param seed of the choice
     * @return what was found
     * @throws IllegalArgumentException if the tokenizer is for another grid, codes are outside of its codebook, the plan does
     *     not fit the store, or there are no samples
     * @throws IOException if codes or pictures cannot be read
     */
    public static Result run(
            CodeStore store,
            ImageTokenizer tokenizer,
            Path tokenizerFile,
            ImageFolder pictures,
            CropPlan plan,
            int samples,
            long seed)
            throws IOException {
        if (samples < 1) {
            throw new IllegalArgumentException("At least 1 sample must be decoded, got " + samples);
        }
        if (tokenizer.grid().tokens() != store.tokens()) {
            throw new IllegalArgumentException(
                    store.path() + " holds crops of " + store.tokens() + " tokens, the tokenizer makes a "
                            + tokenizer.grid() + ". Give the tokenizer that made the codes");
        }
        if (plan != null && plan.crops() != store.crops()) {
            throw new IllegalArgumentException(
                    store.path() + " holds " + store.crops() + " crops of each image, not " + plan.crops());
        }
        return new CodeCheck(store, tokenizer, tokenizerFile, pictures, plan).run(samples, seed);
    }

    private Result run(int samples, long seed) throws IOException {
        int[] pictureOf = requireBelonging();
        CodebookUsage usage = usage();
        List<Integer> classImages = labels(pictureOf);
        SplittableRandom random = new SplittableRandom(seed);
        int[] images = random.ints(0, store.images())
                .distinct()
                .limit(Math.min(samples, store.images()))
                .toArray();
        Arrays.sort(images);

        List<PixelImages> sheet = new ArrayList<>();
        double error = 0;
        double againError = 0;
        double flatError = 0;
        long same = 0;
        int compared = 0;
        int others = 0;
        for (int image : images) {
            int crop = random.nextInt(store.crops());
            int[] codes = store.codes(image, crop);
            PixelImages decoded = tokenizer.decode(new int[][] {codes});
            PixelImages original = pictureOf == null ? null : original(pictureOf[image], crop);
            if (original != null) {
                sheet.add(original);
                error += squaredError(original, decoded);
                flatError += variance(original);
                int[][] again = tokenizer.encode(original);
                againError += squaredError(original, tokenizer.decode(again));
                long sameHere = IntStream.range(0, codes.length)
                        .filter(n -> codes[n] == again[0][n])
                        .count();
                same += sameHere;
                others += sameHere < (1 - OTHER_SAMPLE) * codes.length ? 1 : 0;
                compared++;
            } else if (pictureOf != null) {
                sheet.add(grey(decoded));
            }
            sheet.add(decoded);
        }
        OptionalDouble none = OptionalDouble.empty();
        Result result = new Result(
                warnings,
                images.length,
                compared == 0 ? none : OptionalDouble.of(error / compared),
                compared == 0 ? none : OptionalDouble.of(againError / compared),
                compared == 0 ? none : OptionalDouble.of((double) same / compared / store.tokens()),
                usage.total(),
                usage.used(),
                usage.perplexity(),
                classImages,
                together(sheet));
        if (againError > Math.max(flatError, POOR_ERROR * compared)) {
            warnings.add(String.format(
                    Locale.ROOT,
                    "The tokenizer gives the originals back with an error of %.5f, their mean colours have %.5f: it does not"
                            + " know such pictures. Is its file complete, and are its sizes right?",
                    againError / compared,
                    flatError / compared));
        }
        judge(result, others, compared);
        return result;
    }

    /**
     * Compares what is written about the codes with what is here.
     *
     * @return the picture of each image; null if there are no pictures or it cannot be told
     */
    private int[] requireBelonging() throws IOException {
        CodeSetDescription description = store.description().orElse(null);
        if (description != null) {
            if (!description.complete()) {
                warnings.add("The codes are not complete: npp extract-codes with the same settings goes on with them");
            }
            String hash = Sha256.of(tokenizerFile);
            if (!hash.equals(description.tokenizer().sha256())) {
                warnings.add("The codes were made with another tokenizer file ("
                        + description.tokenizer().file() + ", SHA-256 "
                        + description.tokenizer().sha256() + "; this one has " + hash + ")");
            }
        }
        if (pictures == null) {
            return null;
        }
        if (description != null && !description.data().sha256().equals(CodeHash.ofPathsAndSizes(pictures))) {
            warnings.add("The pictures are not those that the codes were made of: the paths or sizes of the "
                    + description.data().pictures() + " pictures of "
                    + description.data().folder()
                    + " and of the " + pictures.size() + " here differ");
        }
        List<Skipped> skipped = description == null ? List.of() : description.skipped();
        if (description == null && pictures.size() != store.images()
                || pictures.size() < store.images() + skipped.size()) {
            warnings.add("There are " + store.images() + " images and " + pictures.size()
                    + " pictures, and nothing says which picture an image is of. The originals are left out");
            return null;
        }
        int[] left = skipped.stream().mapToInt(Skipped::picture).sorted().toArray();
        return IntStream.range(0, pictures.size())
                .filter(picture -> Arrays.binarySearch(left, picture) < 0)
                .limit(store.images())
                .toArray();
    }

    private CodebookUsage usage() throws IOException {
        CodebookUsage usage = new CodebookUsage(tokenizer.vocabulary());
        int images = Math.min(store.images(), USAGE_IMAGES);
        for (int i = 0; i < images; i++) {
            int image = (int) ((long) i * store.images() / images);
            for (int crop = 0; crop < store.crops(); crop++) {
                int[] codes = store.codes(image, crop);
                for (int code : codes) {
                    if (code >= tokenizer.vocabulary()) {
                        throw new IllegalArgumentException(store.place(image) + " holds the code " + code
                                + ", but the tokenizer's codebook has " + tokenizer.vocabulary()
                                + ". Give the tokenizer that made the codes");
                    }
                }
                usage.add(codes);
            }
        }
        return usage;
    }

    /** Counts the classes, and compares them with the folders. */
    private List<Integer> labels(int[] pictureOf) throws IOException {
        List<Integer> counts = new ArrayList<>();
        int wrong = 0;
        String firstWrong = null;
        for (int image = 0; image < store.images(); image++) {
            int label = store.label(image);
            int classes = store.classes().orElse(Integer.MAX_VALUE);
            if (label >= classes) {
                throw new IllegalArgumentException("The label of " + store.place(image) + " is " + label
                        + ", but there are " + classes + " classes. Extract the codes again");
            }
            while (counts.size() <= label) {
                counts.add(0);
            }
            counts.set(label, counts.get(label) + 1);
            if (pictureOf != null && pictures.label(pictureOf[image]) != label) {
                wrong++;
                firstWrong = firstWrong == null ? store.place(image) : firstWrong;
            }
        }
        if (wrong > 0) {
            warnings.add(wrong + " of " + store.images()
                    + " images have another class than their picture; the first is that of " + firstWrong);
        }
        compareWithFolders(counts);
        return counts;
    }

    private void compareWithFolders(List<Integer> counts) {
        CodeSetDescription description = store.description().orElse(null);
        if (pictures == null && description == null || description != null && !description.complete()) {
            return;
        }
        List<String> names = pictures != null ? pictures.classNames() : description.classNames();
        List<String> poor = new ArrayList<>();
        for (int label = 0; label < names.size(); label++) {
            int folder = pictures != null
                    ? pictures.count(label)
                    : description.data().classPictures().get(label);
            int stored = label < counts.size() ? counts.get(label) : 0;
            if (stored > folder || stored < folder * (1 - LOST_SHARE)) {
                poor.add(names.get(label) + " " + stored + " of " + folder);
            }
        }
        if (!poor.isEmpty()) {
            warnings.add("The classes are not balanced as the folders are: "
                    + String.join(", ", poor.subList(0, Math.min(NAMED, poor.size())))
                    + (poor.size() > NAMED ? " and " + (poor.size() - NAMED) + " more" : ""));
        }
        if (counts.size() > names.size()) {
            warnings.add("There are " + counts.size() + " classes among the labels, but " + names.size() + " folders");
        }
    }

    /** A crop as it was cut, or nothing if the picture is gone. */
    private PixelImages original(int picture, int crop) {
        try {
            return plan.cut(ImageFile.read(pictures.file(picture))).select(crop);
        } catch (IOException | IllegalArgumentException e) {
            warnings.add("An original cannot be shown, " + pictures.file(picture) + ": " + e.getMessage());
            return null;
        }
    }

    private void judge(Result result, int others, int compared) {
        double tokens = result.usageTokens();
        double even = 1 - Math.exp(-tokens / tokenizer.vocabulary());
        if (result.used() < LOW_USAGE * even) {
            warnings.add(String.format(
                    Locale.ROOT,
                    "Only %.1f %% of the codes are used; even draws of as many tokens would use %.1f %%. Was the tokenizer"
                            + " trained on such pictures?",
                    100 * result.used(),
                    100 * even));
        }
        if (result.sameCodes().isEmpty()) {
            return;
        }
        double different = 1 - result.sameCodes().getAsDouble();
        if (others > 0 || different > OTHER_CODES) {
            warnings.add(String.format(
                    Locale.ROOT,
                    "Encoding the originals again gives other codes in %.1f %% of the places, and mostly other ones in %d of"
                            + " %d samples: the codes, the tokenizer, the pictures and the crops do not belong together",
                    100 * different,
                    others,
                    compared));
        }
        double again = result.encodedAgainError().getAsDouble();
        if (result.error().getAsDouble() > MUCH_LARGER * again + 1e-5) {
            warnings.add(String.format(
                    Locale.ROOT,
                    "The decoded codes differ from the originals with an error of %.5f, encoding anew gives %.5f: the codes"
                            + " are not those of the originals",
                    result.error().getAsDouble(),
                    again));
        }
    }

    /** The error of a picture that has the mean colour of this one everywhere. */
    private static double variance(PixelImages image) {
        byte[] pixels = image.toBytes();
        int plane = image.height() * image.width();
        double sum = 0;
        for (int from = 0; from < pixels.length; from += plane) {
            double mean = 0;
            for (int i = from; i < from + plane; i++) {
                mean += (pixels[i] & 0xff) / (double) plane;
            }
            for (int i = from; i < from + plane; i++) {
                double difference = (pixels[i] & 0xff) - mean;
                sum += difference * difference;
            }
        }
        return sum / pixels.length / (255.0 * 255.0);
    }

    private static double squaredError(PixelImages original, PixelImages decoded) {
        byte[] was = original.toBytes();
        byte[] is = decoded.toBytes();
        if (was.length != is.length) {
            throw new IllegalArgumentException("The tokenizer decodes to " + decoded + ", but the crops are " + original
                    + ". Give the settings that the codes were extracted with");
        }
        long sum = 0;
        for (int i = 0; i < is.length; i++) {
            int difference = (was[i] & 0xff) - (is[i] & 0xff);
            sum += difference * difference;
        }
        return sum / (double) is.length / (255.0 * 255.0);
    }

    /** In place of an original that is gone. */
    private static PixelImages grey(PixelImages like) {
        byte[] pixels = new byte[like.bytesPerImage()];
        Arrays.fill(pixels, (byte) 127);
        return new PixelImages(1, like.channels(), like.height(), like.width(), pixels);
    }

    private static PixelImages together(List<PixelImages> images) {
        PixelImages first = images.get(0);
        byte[] all = new byte[Math.multiplyExact(images.size(), first.bytesPerImage())];
        for (int i = 0; i < images.size(); i++) {
            System.arraycopy(images.get(i).toBytes(), 0, all, i * first.bytesPerImage(), first.bytesPerImage());
        }
        return new PixelImages(images.size(), first.channels(), first.height(), first.width(), all);
    }
}
