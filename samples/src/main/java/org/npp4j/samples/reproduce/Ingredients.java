package org.npp4j.samples.reproduce;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.codes.CodeSetDescription;
import org.npp4j.llamagen.codes.CodeStore;
import org.npp4j.llamagen.evaluation.InceptionNetwork;
import org.npp4j.llamagen.files.NpyRows;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.samples.reproduce.Ingredient.Kind;
import org.npp4j.samples.reproduce.Ingredient.State;

/**
 * Looks for what a published result needs in a folder: by published names, and for weights in every file of tensors, whose
 * content decides what it is. Files are hashed; a file SHA256SUMS beside them, as sha256sum writes it, is compared.
 */
public final class Ingredients {
    /** Hashes that files must have. */
    public static final String SUMS = "SHA256SUMS";

    private static final int DEPTH = 4;
    private static final List<String> TENSORS = List.of(".pt", ".pth", ".bin", ".safetensors");
    private static final int TOKENS = 256;
    private static final int REFERENCE_IMAGES = 10_000;
    private static final int FEATURES = 2048;

    private final PublishedResult result;
    private final Consumer<String> progress;
    private final Map<Kind, Ingredient> found = new EnumMap<>(Kind.class);
    private final List<String> others = new ArrayList<>();
    private final List<Path> files = new ArrayList<>();
    private final List<Path> codes = new ArrayList<>();
    private final List<Path> pictures = new ArrayList<>();

    private Ingredients(PublishedResult result, Consumer<String> progress) {
        this.result = result;
        this.progress = progress;
        for (Kind kind : Kind.values()) {
            found.put(kind, Ingredient.missing(kind));
        }
    }

    /**
     * Looks into folders, in the first of them first. ND4J must have started.
     *
     * @param result what is to be reproduced
     * @param folders to look into, four levels deep
     * @param except a folder to leave out
     * @param progress told what is looked at
     * @return what is there
     * @throws IOException if a folder cannot be read
     */
    public static Ingredients in(PublishedResult result, List<Path> folders, Path except, Consumer<String> progress)
            throws IOException {
        Ingredients all = new Ingredients(result, progress);
        for (Path folder : folders) {
            all.list(folder, except);
        }
        all.weights();
        all.look(Kind.REFERENCE, Ingredients::reference);
        all.look(Kind.INCEPTION, Ingredients::inception);
        all.codes();
        all.pictures();
        return all;
    }

    /**
     * What is there of a kind.
     *
     * @param kind what is needed
     * @return it, or that it is missing
     */
    public Ingredient get(Kind kind) {
        return found.get(kind);
    }

    /** {@return all kinds, in the order that they are needed in} */
    public List<Ingredient> all() {
        return List.copyOf(found.values());
    }

    /** {@return files of tensors that are something else, each in a sentence} */
    public List<String> others() {
        return List.copyOf(others);
    }

    /** {@return whether nothing is there, neither what is needed nor anything in its place} */
    public boolean nothing() {
        return found.values().stream().allMatch(one -> one.state() == State.MISSING);
    }

    private void list(Path folder, Path except) throws IOException {
        List<Path> listed = new ArrayList<>();
        Files.walkFileTree(folder, EnumSet.of(FileVisitOption.FOLLOW_LINKS), DEPTH, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                String name =
                        directory.equals(folder) ? "" : directory.getFileName().toString();
                if (name.endsWith("_codes")) {
                    codes.add(directory.getParent());
                    return FileVisitResult.SKIP_SUBTREE;
                }
                if (name.matches("n\\d{8}")) {
                    if (!pictures.contains(directory.getParent())) {
                        pictures.add(directory.getParent());
                    }
                    return FileVisitResult.SKIP_SUBTREE;
                }
                return name.endsWith("_labels") || name.startsWith(".") || directory.equals(except)
                        ? FileVisitResult.SKIP_SUBTREE
                        : FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                if (attributes.isRegularFile()) {
                    listed.add(file);
                    if (file.toString().endsWith(".codes")) {
                        codes.add(file);
                    }
                }
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) {
                return FileVisitResult.CONTINUE;
            }
        });
        listed.sort(null);
        files.addAll(listed);
    }

    /** What looks at a file: it says what one should know, and fails if it is something else. */
    @FunctionalInterface
    private interface Look {
        List<String> at(Path file) throws IOException;
    }

    private void look(Kind kind, Look look) throws IOException {
        for (Path file : files) {
            if (file.getFileName().toString().equals(kind.file())) {
                keep(look(kind, file, look));
            }
        }
    }

    private Ingredient look(Kind kind, Path file, Look look) throws IOException {
        progress.accept("Looking at " + file);
        String sha256 = Sha256.of(file);
        try {
            List<String> notes = new ArrayList<>(look.at(file));
            notes.addAll(compareSum(file, sha256));
            return new Ingredient(kind, State.FOUND, file, sha256, notes);
        } catch (IOException | RuntimeException e) {
            return new Ingredient(kind, State.WRONG, file, sha256, List.of(reason(e)));
        }
    }

    /** One that is found wins over one that is wrong, and the first over later ones. */
    private void keep(Ingredient ingredient) {
        Ingredient before = found.get(ingredient.kind());
        if (before.state() == State.MISSING || ingredient.isFound() && !before.isFound()) {
            found.put(ingredient.kind(), ingredient);
        }
    }

    private static List<String> compareSum(Path file, String sha256) throws IOException {
        Path sums = file.resolveSibling(SUMS);
        if (!Files.isRegularFile(sums)) {
            return List.of();
        }
        for (String line : Files.readAllLines(sums)) {
            String[] parts = line.strip().split("\\s+\\*?", 2);
            if (parts.length == 2 && parts[1].equals(file.getFileName().toString())) {
                if (!parts[0].toLowerCase(Locale.ROOT).equals(sha256)) {
                    throw new IllegalArgumentException(
                            "Its SHA-256 is " + sha256 + ", but " + sums + " wants " + parts[0] + ". Get it again");
                }
                return List.of("Its SHA-256 is that of " + sums + ".");
            }
        }
        return List.of();
    }

    private static String reason(Exception e) {
        String message = e instanceof FileSystemException named && named.getReason() != null
                ? named.getReason()
                : e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        return message.lines().findFirst().orElse(message);
    }

    // Weights: the content decides

    private void weights() throws IOException {
        for (Path file : files) {
            String name = file.getFileName().toString();
            if (TENSORS.stream().noneMatch(name.toLowerCase(Locale.ROOT)::endsWith)) {
                continue;
            }
            boolean namedTokenizer = name.equals(Kind.TOKENIZER.file());
            boolean namedGpt = result.nextTokenFile().filter(name::equals).isPresent();
            if (namedTokenizer || !namedGpt && isTokenizer(file)) {
                Ingredient tokenizer = look(Kind.TOKENIZER, file, Ingredients::tokenizer);
                if (tokenizer.isFound() || namedTokenizer) {
                    keep(tokenizer);
                } else {
                    others.add(file + ": " + tokenizer.notes().get(0));
                }
                continue;
            }
            Ingredient gpt = look(Kind.GPT, file, this::gpt);
            if (gpt.isFound() || namedGpt) {
                keep(gpt);
            } else {
                others.add(file + ": " + gpt.notes().get(0));
            }
        }
    }

    private static boolean isTokenizer(Path file) {
        try {
            TokenizerFile.sizes(file);
            return true;
        } catch (IOException | RuntimeException e) {
            return false;
        }
    }

    private static List<String> tokenizer(Path file) throws IOException {
        VqConfig sizes = TokenizerFile.sizes(file);
        if (!sizes.equals(VqConfig.VQ_16)) {
            throw new IllegalArgumentException(
                    "It is a " + sizes + ", not the published VQ-16, a " + VqConfig.VQ_16 + ".");
        }
        return List.of();
    }

    private List<String> gpt(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            GptCheckpoint stored = GptCheckpoint.of(open);
            GptSpec spec = stored.spec();
            GptSpec wanted = result.size().spec().grid(spec.grid()).build();
            if (spec.layers() != wanted.layers() || spec.width() != wanted.width()) {
                throw new IllegalArgumentException(String.format(
                        Locale.ROOT,
                        "It is a GPT of %d layers, width %d%s, not the %s that this result needs, of %d layers, width %d.",
                        spec.layers(),
                        spec.width(),
                        label(spec),
                        result.size(),
                        wanted.layers(),
                        wanted.width()));
            }
            stored.requireFits(wanted);
            if (spec.grid().tokens() != TOKENS) {
                throw new IllegalArgumentException("It was trained on a " + spec.grid() + ", not on 16 x 16 tokens.");
            }
            List<String> notes = new ArrayList<>();
            String name = file.getFileName().toString();
            if (result.nextTokenFile().filter(name::equals).isPresent()) {
                notes.add(String.format(
                        Locale.ROOT,
                        "By its name this is LlamaGen's, trained by next-token prediction: its published FID is %.2f, not"
                                + " %.2f.",
                        result.nextTokenFid(),
                        result.fid()));
            } else {
                notes.add("A file does not tell whether it was trained by Next Patch Prediction.");
            }
            if (name.contains("384") || name.contains("512")) {
                notes.add("Its name says that it was trained on larger images, which its tensors do not tell.");
            }
            stored.steps().ifPresent(steps -> notes.add("It has seen " + steps + " steps."));
            return notes;
        }
    }

    private static String label(GptSpec spec) {
        return Arrays.stream(GptSize.values())
                .filter(size -> size.layers() == spec.layers() && size.width() == spec.width())
                .findFirst()
                .map(size -> " (" + size + ")")
                .orElse("");
    }

    // The evaluator's files

    private static List<String> reference(Path file) throws IOException {
        try (NpzFile npz = NpzFile.open(file)) {
            requireShape(npz, "mu", FEATURES);
            requireShape(npz, "sigma", FEATURES, FEATURES);
            long[] spatial = shape(npz, "mu_s");
            if (spatial.length != 1) {
                throw new IllegalArgumentException(
                        "Its array mu_s must be of one axis, but is " + Arrays.toString(spatial) + ".");
            }
            requireShape(npz, "sigma_s", spatial[0], spatial[0]);
            long[] images = shape(npz, "arr_0");
            if (images.length != 4
                    || images[1] != PublishedResult.SIDE
                    || images[2] != PublishedResult.SIDE
                    || images[3] != 3) {
                throw new IllegalArgumentException("Its images arr_0 must be [" + REFERENCE_IMAGES
                        + ", 256, 256, 3], but are " + Arrays.toString(images) + ".");
            }
            return images[0] == REFERENCE_IMAGES
                    ? List.of()
                    : List.of("It has " + images[0] + " images, the published one " + REFERENCE_IMAGES
                            + ": precision and recall will differ.");
        }
    }

    private static void requireShape(NpzFile npz, String name, long... expected) throws IOException {
        long[] shape = shape(npz, name);
        if (!Arrays.equals(shape, expected)) {
            throw new IllegalArgumentException("Its array " + name + " must be " + Arrays.toString(expected)
                    + ", but is " + Arrays.toString(shape) + ".");
        }
    }

    private static long[] shape(NpzFile npz, String name) throws IOException {
        if (!npz.contains(name)) {
            throw new IllegalArgumentException("It has no array " + name + "; it has " + npz.names() + ".");
        }
        try (NpyRows rows = npz.rows(name)) {
            return rows.shape();
        }
    }

    private static List<String> inception(Path file) throws IOException {
        int features = InceptionNetwork.load(file).features();
        if (features != FEATURES) {
            throw new IllegalArgumentException(
                    "It has " + features + " features, the published graph " + FEATURES + ".");
        }
        return List.of();
    }

    // ImageNet

    private void codes() throws IOException {
        for (Path place : codes) {
            progress.accept("Looking at " + place);
            try (CodeStore store = CodeStore.open(place)) {
                keep(codes(store));
            } catch (IOException | RuntimeException e) {
                keep(new Ingredient(Kind.CODES, State.WRONG, place, null, List.of(reason(e))));
            }
        }
    }

    private Ingredient codes(CodeStore store) {
        List<String> notes = new ArrayList<>();
        String sha256 = null;
        State state = State.FOUND;
        if (store.tokens() != TOKENS) {
            state = State.WRONG;
            notes.add("They have " + store.tokens() + " tokens an image; images of 256 pixels have " + TOKENS + ".");
        }
        if (store.description().isPresent()) {
            CodeSetDescription made = store.description().get();
            sha256 = made.codesSha256();
            if (!made.complete()) {
                state = State.WRONG;
                notes.add("They are not complete: extract-codes was stopped. The same command goes on.");
            }
            if (made.vocabulary() != VqConfig.VQ_16.codebookSize()) {
                state = State.WRONG;
                notes.add("They are of " + made.vocabulary() + " codes, not of " + VqConfig.VQ_16.codebookSize() + ".");
            }
            Ingredient tokenizer = get(Kind.TOKENIZER);
            if (tokenizer.isFound() && !made.tokenizer().sha256().equals(tokenizer.sha256())) {
                state = State.WRONG;
                notes.add("They were made by another tokenizer than " + tokenizer.path() + ": its SHA-256 was "
                        + made.tokenizer().sha256() + ".");
            }
        } else {
            notes.add("There is no " + CodeSetDescription.FILE
                    + ", which would tell tokenizer and hash: npp check-codes compares them with pictures.");
        }
        if (store.images() != PublishedResult.IMAGES) {
            notes.add(String.format(
                    Locale.ROOT,
                    "They are of %,d images, the published training set has %,d.",
                    store.images(),
                    PublishedResult.IMAGES));
        }
        if (store.crops() != PublishedResult.CROPS) {
            notes.add("They are of " + store.crops() + " crops an image; published are " + PublishedResult.CROPS + ".");
        }
        return new Ingredient(Kind.CODES, state, store.path(), sha256, notes);
    }

    private void pictures() throws IOException {
        for (Path folder : pictures) {
            progress.accept("Looking at " + folder);
            ImageFolder images = ImageFolder.list(folder);
            int classes = images.classNames().size();
            if (classes != PublishedResult.CLASSES) {
                keep(new Ingredient(
                        Kind.PICTURES,
                        State.WRONG,
                        folder,
                        null,
                        List.of("It has " + classes + " class folders, ImageNet " + PublishedResult.CLASSES + ".")));
                continue;
            }
            List<String> notes = images.size() == PublishedResult.IMAGES
                    ? List.of()
                    : List.of(String.format(
                            Locale.ROOT,
                            "It has %,d pictures, the published training set %,d.",
                            images.size(),
                            PublishedResult.IMAGES));
            keep(new Ingredient(Kind.PICTURES, State.FOUND, folder, null, notes));
        }
    }
}
