package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import javax.imageio.ImageIO;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;

class SampleCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final GptSpec SPEC = GptSpec.of(2, 2, 16)
            .feedForwardMultiple(8)
            .vocabulary(9)
            .classes(4)
            .grid(TokenGrid.of(3, 5))
            .build();
    private static final int TOKENS = 15;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path model;
    private Path codebook;
    private Path to;

    @BeforeEach
    void saveAModelAndATokenizer() throws IOException {
        model = folder.resolve("model.zip");
        ModelSerializer.writeModel(network(SPEC), model.toFile(), false);
        codebook = folder.resolve("codebook.json");
        byte[] codes = new byte[9 * 4];
        new Random(1).nextBytes(codes);
        new BlockCodebook(SPEC.grid(), 2, 1, 6, 10, 0, codes).save(codebook);
        to = folder.resolve("out");
    }

    private static ComputationGraph network(GptSpec spec) {
        ComputationGraph network = LlamaGen.of(spec).init();
        Random random = new Random(2);
        double[] values = new double[(int) network.numParams()];
        Arrays.setAll(values, i -> 0.3 * random.nextGaussian());
        network.params()
                .assign(Nd4j.createFromArray(values)
                        .castTo(DataType.FLOAT)
                        .reshape(network.params().shape()));
        return network;
    }

    @Test
    void drawsTokensClassesAndPictures() throws IOException {
        assertEquals(
                0,
                sample("--classes", "2,0", "--num-samples", "5", "--batch-size", "2", "--vq-ckpt", codebook.toString()),
                err::toString);
        INDArray tokens = NpyFile.read(to.resolve("tokens.npy"));
        assertEquals(DataType.INT64, tokens.dataType());
        assertArrayEquals(new long[] {5, TOKENS}, tokens.shape());
        INDArray classes = NpyFile.read(to.resolve("classes.npy"));
        assertEquals(DataType.INT64, classes.dataType());
        assertArrayEquals(new long[] {5}, classes.shape());
        assertArrayEquals(new int[] {2, 0, 2, 0, 2}, classes.toIntVector());
        int[][] expected = tokens.toIntMatrix();
        BlockCodebook book = BlockCodebook.load(codebook);
        for (int i = 0; i < 5; i++) {
            BufferedImage picture =
                    ImageIO.read(to.resolve("00000" + i + ".png").toFile());
            assertEquals(10, picture.getWidth());
            assertEquals(6, picture.getHeight());
            assertEquals(
                    book.decode(new int[][] {expected[i]}).pixel(0, 0, 4, 7),
                    picture.getRaster().getSample(7, 4, 0));
        }
        assertTrue(
                out.toString()
                        .matches("5 images of 15 tokens in [0-9.]+ s, [0-9.]+ tokens/s, peak memory [0-9.]+ GiB:"
                                + " tokens\\.npy, classes\\.npy, 000000\\.png to 000004\\.png in .*out\\R"),
                out::toString);
        try (var files = Files.list(to)) {
            assertEquals(8, files.count()); // nothing temporary is left
        }
    }

    @Test
    void drawsWithAVqTokenizer() throws IOException {
        Path file = folder.resolve("vq.pt");
        VqTokenizer tokenizer = VqTokenizer.random(new VqConfig(List.of(1, 1), 32, 8, 11, 4, 1), 6, 10, 1);
        tokenizer.save(file);
        assertEquals(0, sample("--num-samples", "3", "--vq-ckpt", file.toString()), err::toString);
        int[][] drawn = tokens();
        for (int i = 0; i < 3; i++) {
            BufferedImage picture =
                    ImageIO.read(to.resolve("00000" + i + ".png").toFile());
            // the model's 3 x 5 tokens of 2 x 2 pixels each
            assertEquals(10, picture.getWidth());
            assertEquals(6, picture.getHeight());
            assertEquals(
                    tokenizer.decode(new int[][] {drawn[i]}).pixel(0, 2, 5, 9),
                    picture.getRaster().getSample(9, 5, 2),
                    1);
        }
        Path config =
                Files.writeString(folder.resolve("vq.json"), tokenizer.config().toJson());
        assertEquals(
                0,
                sample("--num-samples", "3", "--vq-ckpt", file.toString(), "--vq-config", config.toString()),
                err::toString);
        isUsageError("--vq-config needs --vq-ckpt", "--vq-config", config.toString());
        isUsageError("--vq-ckpt: there is no file", "--vq-ckpt", "none.pt");
    }

    @Test
    void anImageDependsOnItsIndexAlone() throws IOException {
        assertEquals(0, sample("--num-samples", "7", "--batch-size", "7"), err::toString);
        int[][] together = tokens();
        INDArray classes = NpyFile.read(to.resolve("classes.npy"));
        assertTrue(classes.minNumber().intValue() >= 0 && classes.maxNumber().intValue() < 4);
        for (String batch : List.of("1", "3")) {
            to = folder.resolve("by " + batch);
            assertEquals(0, sample("--num-samples", "7", "--batch-size", batch), err::toString);
            assertArrayEquals(together, tokens());
            assertEquals(classes, NpyFile.read(to.resolve("classes.npy")));
        }
        to = folder.resolve("other");
        assertEquals(0, sample("--num-samples", "7", "--global-seed", "1"), err::toString);
        assertFalse(Arrays.deepEquals(together, tokens()));
    }

    @Test
    void goesOnWhereItWasStopped() throws IOException {
        assertEquals(0, sample("--num-samples", "6", "--vq-ckpt", codebook.toString()), err::toString);
        int[][] whole = tokens();
        // as if it had been killed after two images
        NpyFile.writeInt64(to.resolve("tokens.npy"), Arrays.copyOf(whole, 2));
        Files.delete(to.resolve("000005.png"));
        FileTime first = FileTime.fromMillis(0);
        Files.setLastModifiedTime(to.resolve("000001.png"), first);
        assertEquals(
                0, sample("--num-samples", "6", "--vq-ckpt", codebook.toString(), "--batch-size", "3"), err::toString);
        assertArrayEquals(whole, tokens());
        assertTrue(out.toString().startsWith("4 images"), out::toString);
        assertTrue(out.toString().strip().endsWith("(2 images were there already)"), out::toString);
        assertEquals(first, Files.getLastModifiedTime(to.resolve("000001.png")));
        assertTrue(Files.exists(to.resolve("000005.png")));
        // more images of the same run
        assertEquals(0, sample("--num-samples", "8", "--vq-ckpt", codebook.toString()), err::toString);
        assertArrayEquals(whole, Arrays.copyOf(tokens(), 6));
        assertEquals(8, tokens().length);
        // other settings begin anew
        assertEquals(0, sample("--num-samples", "3", "--temperature", "0.5"), err::toString);
        assertEquals(3, tokens().length);
        assertTrue(out.toString().startsWith("3 images"), out::toString);
        assertFalse(out.toString().contains("already"), out::toString);
        assertFalse(Files.exists(to.resolve("000000.png")), "pictures of other tokens");
    }

    @Test
    void picturesAsNpz() throws IOException {
        Path npz = to.resolve("samples.npz");
        assertEquals(0, sample("--num-samples", "4", "--vq-ckpt", codebook.toString(), "--npz"), err::toString);
        assertTrue(out.toString().contains("All 4 pictures for npp evaluate: " + npz), out::toString);
        try (ImageSource ofNpz = ImageSource.open(npz);
                ImageSource ofFolder = ImageSource.open(to)) {
            PixelImages pictures = ofNpz.next(9);
            assertEquals(4, pictures.count());
            assertEquals(ofFolder.next(9), pictures);
            assertEquals(BlockCodebook.load(codebook).decode(tokens()), pictures);
        }
        // it is not written again, unless images were added
        FileTime first = FileTime.fromMillis(0);
        Files.setLastModifiedTime(npz, first);
        assertEquals(0, sample("--num-samples", "4", "--vq-ckpt", codebook.toString(), "--npz"), err::toString);
        assertEquals(first, Files.getLastModifiedTime(npz));
        assertEquals(0, sample("--num-samples", "5", "--vq-ckpt", codebook.toString()), err::toString);
        assertFalse(Files.exists(npz));
        isUsageError("--npz needs pictures: give --vq-ckpt", "--npz");
    }

    @Test
    void classesThatWereLostAreWrittenAgain() throws IOException {
        assertEquals(0, sample("--num-samples", "4"), err::toString);
        INDArray classes = NpyFile.read(to.resolve("classes.npy"));
        Files.delete(to.resolve("classes.npy"));
        assertEquals(0, sample("--num-samples", "5"), err::toString);
        INDArray again = NpyFile.read(to.resolve("classes.npy"));
        assertEquals(5, again.length());
        assertArrayEquals(classes.toIntVector(), Arrays.copyOf(again.toIntVector(), 4));
        assertEquals(5, tokens().length);
        NpyFile.writeInt64(to.resolve("tokens.npy"), new int[][] {{1, 2}});
        assertEquals(1, sample("--num-samples", "5"));
        assertTrue(
                err.toString()
                        .contains("tokens.npy: it holds an array of [1, 2], but rows of [15] are to be added."
                                + " Remove it, or choose another folder with --out"),
                err::toString);
    }

    @Test
    void settingsCount() throws IOException {
        List<int[][]> seen = new ArrayList<>();
        for (String settings : List.of(
                "--cfg-scale 1",
                "--cfg-scale 3",
                "--cfg-scale 3 --cfg-interval 2",
                "--cfg-scale 3 --top-k 2",
                "--cfg-scale 3 --top-p 0.4",
                "--cfg-scale 3 --greedy")) {
            assertEquals(0, sample((settings + " --classes 0,1,2,3").split(" ")), err::toString);
            int[][] tokens = tokens();
            seen.forEach(other -> assertFalse(Arrays.deepEquals(other, tokens), settings));
            seen.add(tokens);
        }
        assertEquals(0, sample("--cfg-scale", "3", "--top-k", "1", "--classes", "0,1,2,3"), err::toString);
        assertArrayEquals(seen.get(5), tokens());
    }

    @Test
    void takesPyTorchFiles() throws IOException {
        assertEquals(0, sample("--num-samples", "3"), err::toString);
        int[][] expected = tokens();
        Path config = Files.writeString(
                folder.resolve("config.json"), GptConfig.of(SPEC).toJson());
        for (String name : List.of("model.pt", "model.safetensors")) {
            Path file = folder.resolve(name);
            GptCheckpoint.write(file, network(SPEC));
            model = file;
            assertEquals(0, sample("--num-samples", "3", "--config", config.toString()), err::toString);
            assertArrayEquals(expected, tokens());
            assertTrue(out.toString().startsWith("3 images"), out::toString);
        }
    }

    @Test
    void drawsImagesOfCaptions() throws IOException {
        GptSpec captions = SPEC.toBuilder().captions(3, 8).build();
        ModelSerializer.writeModel(network(captions), model.toFile(), false);
        Path vectors = folder.resolve("captions.npy");
        Path masks = folder.resolve("masks.npy");
        Nd4j.getRandom().setSeed(4);
        Nd4j.writeAsNumpy(Nd4j.randn(DataType.FLOAT, 2, 3, 8), vectors.toFile());
        NpyFile.writeInt64(masks, new int[][] {{1, 1, 1}, {0, 1, 1}});
        assertEquals(
                0,
                sample("--captions", vectors.toString(), "--caption-masks", masks.toString(), "--num-samples", "3"),
                err::toString);
        assertArrayEquals(
                new long[] {3, TOKENS}, NpyFile.read(to.resolve("tokens.npy")).shape());
        assertFalse(Files.exists(to.resolve("classes.npy")));
        int[][] masked = tokens();
        assertEquals(0, sample("--captions", vectors.toString()), err::toString);
        assertEquals(2, tokens().length);
        assertArrayEquals(masked[0], tokens()[0]);
        assertFalse(Arrays.equals(masked[1], tokens()[1]));
        isUsageError("give --captions FILE.npy", "--num-samples", "1");
        assertEquals(1, sample("--captions", masks.toString()));
        assertTrue(err.toString().contains("takes captions [images, 3, 8], got [2, 3]"), err::toString);
    }

    @Test
    void wrongUsageIsOneLine() {
        Map<String, String> messages = Map.ofEntries(
                Map.entry("--cfg-scale 0.5", "The guidance scale must be at least 1 (1 = none), got 0.5"),
                Map.entry("--cfg-interval -2", "The last guided step must be at least 0, or -1 for all steps, got -2"),
                Map.entry("--temperature 0", "The temperature must be a finite number above 0, got 0.0"),
                Map.entry("--top-k -1", "topK must be at least 1, or 0 for all tokens, got -1"),
                Map.entry("--top-p 0", "topP must be above 0 and at most 1, got 0.0"),
                Map.entry("--num-samples 0", "--num-samples must be at least 1, but is 0"),
                Map.entry("--batch-size 0", "--batch-size must be at least 1, but is 0"),
                Map.entry("--classes 1 --captions x.npy", "--classes and --captions exclude each other"),
                Map.entry("--captions x.npy", "The model draws images of classes: give --classes, not --captions"),
                Map.entry("--caption-masks x.npy", "--caption-masks needs --captions"),
                Map.entry("--config a --gpt-model GPT-B", "--config and --gpt-model exclude each other"),
                Map.entry("--gpt-model GPT-B", "A Deeplearning4j file describes itself"),
                Map.entry("--classes one", "'one' is not an int"));
        messages.forEach((options, message) -> isUsageError(message, options.split(" ")));
        model = folder.resolve("none.pt");
        isUsageError("--gpt-ckpt: there is no file", "--num-samples", "1");
        assertFalse(Files.exists(to));
    }

    @Test
    void whatDoesNotFitTheModelIsNamed() throws IOException {
        assertEquals(1, sample("--classes", "0,5"));
        assertEquals(
                "npp: Class 5 of image 1 is unknown to the network. It knows 0 .. 4, where 4 is \"no class\"",
                err.toString().strip());
        new BlockCodebook(TokenGrid.of(2, 2), 2, 1, 4, 4, 0, new byte[4 * 9]).save(codebook);
        isUsageError(
                "The model draws 9 codes on a 3 x 5 token grid (height x width), the tokenizer of --vq-ckpt has 9 codes"
                        + " on a 2 x 2 token grid (height x width)",
                "--vq-ckpt",
                codebook.toString());
        assertEquals(1, sample("--vq-ckpt", model.toString()));
        assertTrue(err.toString().startsWith("npp: " + model + " "), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
        ModelSerializer.writeModel(network(SPEC.toBuilder().noClassRow(false).build()), model.toFile(), false);
        isUsageError("--cfg-scale must be 1", "--num-samples", "1");
        assertEquals(0, sample("--num-samples", "1", "--cfg-scale", "1"), err::toString);
    }

    private int[][] tokens() throws IOException {
        return NpyFile.read(to.resolve("tokens.npy")).toIntMatrix();
    }

    private void isUsageError(String message, String... options) {
        assertEquals(2, sample(options), () -> out + " " + err);
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private int sample(String... options) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> args = new ArrayList<>(List.of("sample", "--gpt-ckpt", model.toString(), "--out", to.toString()));
        args.addAll(List.of(options));
        return Npp.run(
                List.of(new SampleCommand(() -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args.toArray(String[]::new));
    }
}
