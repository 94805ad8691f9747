package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.IntStream;
import org.npp4j.llamagen.codes.CodeSetDescription.Crops;
import org.npp4j.llamagen.codes.CodeSetDescription.Pictures;
import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;
import org.npp4j.llamagen.codes.CodeSetDescription.Tokenizer;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/**
 * Makes the codes of a folder of pictures: decodes, cuts, tokenizes, stores.
 *
 * <p>Pictures are decoded by several threads, a few ahead of the tokenizer, which runs in the calling thread; memory does not
 * grow with their number. It can be stopped at any moment, also by force, and another run with the same settings goes on: no
 * picture is stored twice, none is lost, and nothing half-written counts.
 *
 * <p>A picture that cannot be read is skipped, and the images behind it move up: images are numbered without holes, as the
 * readers of the published layout want, and {@link CodeSetDescription#skipped()} says which pictures they are not.
 *
 * <p>When all pictures are done, the whole set is read once more and hashed.
 */
public final class CodeExtraction {
    private static final int IMAGES_BETWEEN_REPORTS = 64;

    private final ImageFolder pictures;
    private final CropPlan plan;
    private final ImageTokenizer tokenizer;
    private final CodeSetDescription description;
    private final int batch;
    private final int threads;
    private final boolean strict;
    private final ExtractionObserver observer;
    private final CodeSetWriter.Writers writers;
    /** Decoding holds the first; what did not fit into memory is decoded alone, under the second. */
    private final ReadWriteLock memory = new ReentrantReadWriteLock();

    private CodeExtraction(Builder builder, CodeSetDescription description) {
        pictures = builder.pictures;
        plan = builder.plan;
        tokenizer = builder.tokenizer;
        batch = builder.batch;
        threads = builder.threads;
        strict = builder.strict;
        observer = builder.observer;
        writers = builder.writers;
        this.description = description;
    }

    /** What is extracted, and how. */
    public static final class Builder {
        private final ImageFolder pictures;
        private final CropPlan plan;
        private final ImageTokenizer tokenizer;
        private final Path tokenizerFile;
        private String dataSet = "imagenet";
        private boolean packed;
        private boolean strict;
        private int batch = 1;
        private int threads = Runtime.getRuntime().availableProcessors();
        private ExtractionObserver observer = new ExtractionObserver() {};
        private CodeSetWriter.Writers writers = CodeSetWriter::layout;

        /**
         * An extraction.
         *
         * @param pictures the pictures
         * @param plan how they are cut
         * @param tokenizer takes colour images of the plan's size
         * @param tokenizerFile where it was read; its hash tells whether codes belong to it
         */
        public Builder(ImageFolder pictures, CropPlan plan, ImageTokenizer tokenizer, Path tokenizerFile) {
            this.pictures = pictures;
            this.plan = plan;
            this.tokenizer = tokenizer;
            this.tokenizerFile = tokenizerFile;
        }

        /**
         * Sets the name of the data set. With the image size behind it, it is the name of the codes.
         *
         * @param dataSet default: imagenet, whatever the pictures are, as the published trainer wants
         * @return this
         */
        public Builder dataSet(String dataSet) {
            this.dataSet = dataSet;
            return this;
        }

        /**
         * Chooses the layout.
         *
         * @param packed one file in place of two for each image
         * @return this
         */
        public Builder packed(boolean packed) {
            this.packed = packed;
            return this;
        }

        /**
         * Chooses what happens to a picture that cannot be read.
         *
         * @param strict whether it ends the extraction; by default it is skipped
         * @return this
         */
        public Builder strict(boolean strict) {
            this.strict = strict;
            return this;
        }

        /**
         * Sets how many pictures, with all of their crops, are tokenized at a time.
         *
         * @param batch at least 1, the default. Other sums of floats may choose another one of two codes that are equally near
         * @return this
         */
        public Builder batch(int batch) {
            this.batch = batch;
            return this;
        }

        /**
         * Sets how many threads decode pictures.
         *
         * @param threads at least 1; default: one for each processor
         * @return this
         */
        public Builder threads(int threads) {
            this.threads = threads;
            return this;
        }

        /**
         * Sets who is told how it goes.
         *
         * @param observer the observer
         * @return this
         */
        public Builder observer(ExtractionObserver observer) {
            this.observer = observer;
            return this;
        }

        Builder writers(CodeSetWriter.Writers writers) {
            this.writers = writers;
            return this;
        }

        /**
         * The extraction. Reads the tokenizer's file and the size of every picture to hash them.
         *
         * @return it, not begun
         * @throws IllegalArgumentException if a setting is out of range or the tokenizer does not take the crops
         * @throws IOException if the tokenizer's file cannot be read
         */
        public CodeExtraction build() throws IOException {
            if (batch < 1 || threads < 1) {
                throw new IllegalArgumentException(
                        "Batch and threads must be at least 1, got batch " + batch + ", threads " + threads);
            }
            if (!dataSet.matches("[A-Za-z0-9][A-Za-z0-9._-]*")) {
                throw new IllegalArgumentException("A data set's name is of letters, digits, '.', '_' and '-', such as"
                        + " imagenet; got '" + dataSet + "'");
            }
            requireFits();
            return new CodeExtraction(
                    this,
                    new CodeSetDescription(
                            CodeSetDescription.FORMAT,
                            dataSet + plan.imageSize(),
                            packed,
                            false,
                            0,
                            Crops.of(plan),
                            tokenizer.grid().getHeight(),
                            tokenizer.grid().getWidth(),
                            tokenizer.vocabulary(),
                            new Tokenizer(String.valueOf(tokenizerFile.getFileName()), Sha256.of(tokenizerFile)),
                            new Pictures(
                                    pictures.root().toAbsolutePath().normalize().toString(),
                                    pictures.size(),
                                    IntStream.range(0, pictures.classNames().size())
                                            .mapToObj(pictures::count)
                                            .toList(),
                                    CodeHash.ofPathsAndSizes(pictures)),
                            pictures.classNames(),
                            List.of(),
                            null,
                            List.of()));
        }

        /** A tokenizer says what it takes only when it is given something. */
        private void requireFits() {
            int side = plan.imageSize();
            try {
                tokenizer.encode(new PixelImages(1, 3, side, side, new byte[3 * side * side]));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException(
                        "The tokenizer does not take colour images of " + side + " x " + side + " pixels: "
                                + e.getMessage(),
                        e);
            }
        }
    }

    /** {@return how the codes are made} */
    public CodeSetDescription description() {
        return description;
    }

    /** A picture on its way: its crops, or why there are none. */
    private record Prepared(int picture, PixelImages crops, boolean enlarged, Skipped skipped) {}

    /**
     * Runs until every picture is stored or skipped, or goes on with what an earlier run has left.
     *
     * @param folder for the codes
     * @return the description of the whole set
     * @throws IllegalStateException if the folder holds codes that were made in another way, or another process is writing
     *     them
     * @throws FileSystemException if no picture can be read, one cannot and this is strict, or codes cannot be written; what
     *     was stored before stays
     * @throws IOException if the folder cannot be read or written
     */
    public CodeSetDescription run(Path folder) throws IOException {
        try (CodeSetWriter set = CodeSetWriter.open(folder, description, writers)) {
            observer.onStart(pictures.size(), set.nextPicture(), set.skipped().size());
            if (strict && !set.skipped().isEmpty()) {
                throw failure(set.skipped().get(0), null);
            }
            if (!set.isComplete()) {
                extract(set);
                if (set.images() == 0) {
                    throw new FileSystemException(
                            pictures.root().toString(),
                            null,
                            "none of its " + pictures.size() + " pictures can be used. The first, "
                                    + set.skipped().get(0).file() + ": "
                                    + set.skipped().get(0).reason());
                }
                set.force();
                finish(set, folder);
            }
            return set.description();
        }
    }

    private void extract(CodeSetWriter set) throws IOException {
        ExecutorService pool = Executors.newFixedThreadPool(threads, task -> {
            Thread thread = new Thread(task, "decode-picture");
            thread.setDaemon(true);
            return thread;
        });
        try {
            Deque<Future<Prepared>> ahead = new ArrayDeque<>();
            int submitted = set.nextPicture();
            while (set.nextPicture() < pictures.size()) {
                List<Prepared> prepared = new ArrayList<>();
                int images = 0;
                do {
                    // two for each thread, so that none waits while the tokenizer works
                    while (submitted < pictures.size() && ahead.size() < batch + 2 * threads) {
                        int picture = submitted++;
                        ahead.add(pool.submit(() -> prepare(picture)));
                    }
                    Prepared next = result(ahead.remove());
                    prepared.add(next);
                    images += next.crops() == null ? 0 : 1;
                } while (images < batch && !ahead.isEmpty() && prepared.size() < IMAGES_BETWEEN_REPORTS + batch);
                store(prepared, images, set);
                observer.onProgress(set.nextPicture(), set.skipped().size());
            }
        } finally {
            pool.shutdownNow();
        }
    }

    private static Prepared result(Future<Prepared> future) throws IOException {
        try {
            return future.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("Interrupted; the same command goes on with what is stored", e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Error error) {
                throw error;
            }
            throw e.getCause() instanceof IOException failure ? failure : new IOException(e.getCause());
        }
    }

    /** Reads and cuts a picture, in a thread of its own. */
    private Prepared prepare(int picture) throws IOException {
        Path file = pictures.file(picture);
        String reason;
        try {
            PixelImages whole;
            PixelImages crops;
            try {
                memory.readLock().lock();
                try {
                    whole = ImageFile.read(file);
                    crops = plan.cut(whole);
                } finally {
                    memory.readLock().unlock();
                }
            } catch (OutOfMemoryError e) {
                memory.writeLock().lock();
                try {
                    whole = ImageFile.read(file);
                    crops = plan.cut(whole);
                } finally {
                    memory.writeLock().unlock();
                }
            }
            boolean enlarged = Math.min(whole.height(), whole.width()) < plan.centreSize();
            return new Prepared(picture, crops, enlarged, null);
        } catch (FileSystemException e) {
            reason = e.getReason() != null
                    ? e.getReason()
                    : e instanceof NoSuchFileException
                            ? "there is no such file"
                            : e instanceof AccessDeniedException ? "no permission to read it" : "it cannot be read";
        } catch (IOException | RuntimeException e) {
            reason = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        } catch (OutOfMemoryError e) {
            reason = "it is too large for the Java heap. Make the picture smaller, or raise the heap with -Xmx";
        }
        if (!Files.isDirectory(pictures.root())) {
            // a drive that went away must not look like broken pictures
            throw new NoSuchFileException(pictures.root().toString(), null, "the folder of the pictures is gone");
        }
        return new Prepared(picture, null, false, new Skipped(picture, file.toString(), reason));
    }

    private void store(List<Prepared> prepared, int images, CodeSetWriter set) throws IOException {
        int crops = plan.crops();
        int[][] codes =
                images == 0 ? new int[0][] : tokenizer.encode(together(prepared, images)); // [images x crops][N]
        int image = 0;
        for (Prepared next : prepared) {
            if (next.skipped() != null) {
                if (strict) {
                    throw failure(next.skipped(), null);
                }
                set.skip(next.skipped());
                observer.onSkip(next.skipped());
            } else {
                set.add(Arrays.copyOfRange(codes, image * crops, (image + 1) * crops), pictures.label(next.picture()));
                image++;
                if (next.enlarged()) {
                    observer.onEnlarged(next.picture());
                }
            }
        }
    }

    /** The crops of all pictures: [images x crops, 3, S, S]. */
    private PixelImages together(List<Prepared> prepared, int images) {
        List<PixelImages> crops =
                prepared.stream().map(Prepared::crops).filter(Objects::nonNull).toList();
        if (images == 1) {
            return crops.get(0);
        }
        PixelImages first = crops.get(0);
        int bytes = first.count() * first.bytesPerImage();
        byte[] all = new byte[Math.multiplyExact(images, bytes)];
        for (int i = 0; i < images; i++) {
            System.arraycopy(crops.get(i).toBytes(), 0, all, i * bytes, bytes);
        }
        return new PixelImages(images * first.count(), first.channels(), first.height(), first.width(), all);
    }

    /** Reads all that is stored: every image, of the class of its picture. */
    private void finish(CodeSetWriter set, Path folder) throws IOException {
        CodeHash hash = new CodeHash();
        Integer[] classImages = new Integer[pictures.classNames().size()];
        Arrays.fill(classImages, 0);
        try (CodeStore store = CodeStore.open(folder, description.name())) {
            int picture = 0;
            int skipped = 0;
            for (int image = 0; image < store.images(); image++, picture++) {
                while (skipped < set.skipped().size()
                        && set.skipped().get(skipped).picture() == picture) {
                    skipped++;
                    picture++;
                }
                int[][] codes = new int[store.crops()][];
                for (int crop = 0; crop < codes.length; crop++) {
                    codes[crop] = store.codes(image, crop);
                    if (Arrays.stream(codes[crop]).max().orElse(0) >= description.vocabulary()) {
                        throw damaged(folder, store.place(image) + " holds a code outside the codebook");
                    }
                }
                int label = store.label(image);
                if (picture >= pictures.size() || label != pictures.label(picture)) {
                    throw damaged(folder, store.place(image) + " is not of the class of its picture");
                }
                hash.add(codes, label);
                classImages[label]++;
                if (image % IMAGES_BETWEEN_REPORTS == 0) {
                    observer.onCheck(image, store.images());
                }
            }
            if (store.images() != set.images()) {
                throw damaged(folder, "it holds " + store.images() + " images, but " + set.images() + " were stored");
            }
        }
        set.finish(List.of(classImages), hash.hex());
    }

    private static FileSystemException damaged(Path folder, String what) {
        return new FileSystemException(
                folder.toString(),
                null,
                what + ". Something else has changed it; extract the codes into an empty folder");
    }

    private static FileSystemException failure(Skipped skipped, Throwable cause) {
        FileSystemException failure = new FileSystemException(skipped.file(), null, skipped.reason());
        failure.initCause(cause);
        return failure;
    }
}
