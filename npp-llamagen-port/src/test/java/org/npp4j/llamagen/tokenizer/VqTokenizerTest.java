package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.checkpoint.CheckpointConversion;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorMismatchException;
import org.npp4j.llamagen.checkpoint.TensorSource;
import org.npp4j.llamagen.images.PixelImages;

class VqTokenizerTest {
    private static final VqConfig SMALL = new VqConfig(List.of(1, 2), 32, 12, 40, 4, 1);

    @TempDir
    private Path folder;

    @Test
    void tellsItsSizesFromTheTensors() throws IOException {
        for (String name : List.of("vq8-tiny", "vq-odd")) {
            VqConfig described = VqConfig.read(GoldenVq.file(name + ".json"));
            assertEquals(
                    described,
                    VqTokenizer.load(GoldenVq.file(name + ".pt"), null, 16, 16).config());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vq.pt", "vq.pth", "vq.safetensors"})
    void loadsWhatItSaves(String name) throws IOException {
        VqTokenizer tokenizer = VqTokenizer.random(SMALL, 8, 6, 3);
        Path file = folder.resolve(name);
        tokenizer.save(file);
        VqTokenizer loaded = VqTokenizer.load(file, null, 8, 6);
        PixelImages images = images(5, 3, 8, 6);
        int[][] ids = tokenizer.encode(images);
        assertEquals(SMALL, loaded.config());
        assertArrayEquals(ids, loaded.encode(images));
        assertEquals(tokenizer.decode(ids), loaded.decode(ids));
    }

    @Test
    void writesThePublishedNames() throws IOException {
        Path file = folder.resolve("vq.pt");
        VqTokenizer.load(GoldenVq.file("vq-odd.pt"), null, 16, 16).save(file);
        try (TensorFile ours = TensorFile.open(file);
                TensorFile published = TensorFile.open(GoldenVq.file("vq-odd.pt"))) {
            assertEquals(published.tensors().keySet(), ours.tensors().keySet());
            for (String name : published.tensors().keySet()) {
                assertArrayEquals(
                        published.tensors().get(name).shape(),
                        ours.tensors().get(name).shape(),
                        name);
                assertEquals(
                        published.tensors().get(name).toArray().castTo(DataType.FLOAT),
                        ours.tensors().get(name).toArray(),
                        name);
            }
        }
    }

    @Test
    void convertsBetweenPyTorchAndSafetensors() throws IOException {
        Path safetensors = folder.resolve("vq.safetensors");
        Path back = folder.resolve("vq.pt");
        CheckpointConversion.convert(GoldenVq.file("vq-odd.pt"), safetensors, CheckpointConversion.Model.UNKNOWN);
        CheckpointConversion.convert(safetensors, back, CheckpointConversion.Model.UNKNOWN);
        PixelImages images = images(2, 3, 12, 16);
        int[][] ids = VqTokenizer.load(GoldenVq.file("vq-odd.pt"), null, 12, 16).encode(images);
        assertArrayEquals(ids, VqTokenizer.load(safetensors, null, 12, 16).encode(images));
        assertArrayEquals(ids, VqTokenizer.load(back, null, 12, 16).encode(images));
        try (TensorFile file = TensorFile.open(safetensors)) {
            assertTrue(file.tensors().containsKey("encoder.conv_in.weight"), "bare names");
        }
    }

    @Test
    void anImageDoesNotDependOnItsBatch() {
        // two passes: 256 x 192 pixels go through alone
        VqTokenizer tokenizer = VqTokenizer.random(new VqConfig(List.of(1, 1, 1, 1), 32, 8, 30, 4, 1), 256, 192, 4);
        PixelImages images = images(2, 3, 256, 192);
        int[][] ids = tokenizer.encode(images);
        assertArrayEquals(ids[1], tokenizer.encode(images.range(1, 2))[0]);
        assertEquals(tokenizer.decode(ids).range(1, 2), tokenizer.decode(new int[][] {ids[1]}));
        assertArrayEquals(ids, tokenizer.encode(images.toSignedUnit()));
    }

    @Test
    void otherSizesShareTheWeights() {
        VqTokenizer tokenizer = VqTokenizer.random(SMALL, 8, 8, 5);
        VqTokenizer wide = tokenizer.forImages(4, 10);
        assertEquals(TokenGrid.of(2, 5), wide.grid());
        assertEquals(40, wide.vocabulary());
        assertEquals(wide.imageWidth(), tokenizer.forGrid(TokenGrid.of(2, 5)).imageWidth());
        PixelImages images = images(3, 3, 4, 10);
        int[][] ids = wide.encode(images);
        assertEquals(4, wide.decode(ids).height());
        // after another size the first one still gives the same
        PixelImages square = images(2, 3, 8, 8);
        int[][] before = tokenizer.encode(square);
        wide.encode(images);
        assertArrayEquals(before, tokenizer.encode(square));
        assertArrayEquals(ids, wide.encode(images));
    }

    @Test
    void takesGreyImagesAsColour() {
        VqTokenizer tokenizer = VqTokenizer.random(SMALL, 4, 4, 5);
        PixelImages grey = images(2, 1, 4, 4);
        byte[] colour = new byte[2 * 48];
        for (int i = 0; i < colour.length; i++) {
            colour[i] = grey.toBytes()[i / 48 * 16 + i % 16];
        }
        assertArrayEquals(tokenizer.encode(new PixelImages(2, 3, 4, 4, colour)), tokenizer.encode(grey));
    }

    @Test
    void latentsHaveLengthOne() {
        VqTokenizer tokenizer = VqTokenizer.random(SMALL, 4, 4, 6);
        var latents = tokenizer.latents(images(3, 3, 4, 4).toSignedUnit());
        assertArrayEquals(new long[] {3, 4, 4}, latents.shape());
        assertEquals(12, latents.mul(latents).sumNumber().doubleValue(), 1e-5);
        assertEquals(0, tokenizer.decode(new int[0][]).count());
    }

    @Test
    void listsEveryTensorThatDoesNotFit() throws IOException {
        Path file = folder.resolve("vq.pt");
        VqTokenizer.random(SMALL, 4, 4, 1).save(file);
        Path broken = folder.resolve("broken.safetensors");
        try (TensorFile open = TensorFile.open(file)) {
            Map<String, TensorSource> weights = new LinkedHashMap<>(CheckpointWeights.of(open, name -> false));
            weights.remove("decoder.mid.1.q.bias");
            weights.remove("encoder.norm_out.weight");
            weights.put("loss.weight", TensorSource.of(Nd4j.zeros(2, 3)));
            weights.put("quant_conv.weight", TensorSource.of(Nd4j.zeros(4, 9, 1, 1)));
            CheckpointWeights.write(broken, weights);
        }
        TensorMismatchException mismatch =
                assertThrows(TensorMismatchException.class, () -> VqTokenizer.load(broken, null, 4, 4));
        assertEquals(List.of("encoder.norm_out.weight [64]", "decoder.mid.1.q.bias [64]"), mismatch.missing());
        assertEquals(List.of("loss.weight [2, 3]"), mismatch.unexpected());
        assertEquals(List.of("quant_conv.weight is [4, 9, 1, 1], the model has [4, 12, 1, 1]"), mismatch.misshaped());
        String other = assertThrows(
                        TensorMismatchException.class, () -> VqTokenizer.load(file, SMALL.withCodebook(41, 4), 4, 4))
                .getMessage();
        assertTrue(
                other.contains(
                        "The checkpoint looks like a VQ tokenizer of 32 channels x [1, 2], z 12, codebook 40 x 4"),
                other);
    }

    @Test
    void refusesWhatItCannotWorkOn() {
        VqTokenizer tokenizer = VqTokenizer.random(SMALL, 4, 8, 1);
        assertEquals(
                "This tokenizer is for images of 3 x 4 x 8 (channels x height x width), got 3 x 8 x 4. Resize the"
                        + " images, or ask for the tokenizer of this size: forImages(height, width)",
                refused(() -> tokenizer.encode(images(1, 3, 8, 4))));
        assertTrue(refused(() -> tokenizer.encode(images(1, 2, 4, 8))).contains("got 2 x 4 x 8"));
        assertTrue(refused(() -> tokenizer.latents(Nd4j.zeros(3, 4, 8))).contains("[count, 3, 4, 8]"));
        assertTrue(refused(() -> tokenizer.forImages(4, 7)).contains("a downsampling of 2"));
        assertEquals(
                "Row 1 has 7 token ids; an image of the 2 x 4 token grid (height x width) has 8",
                refused(() -> tokenizer.decode(new int[][] {new int[8], new int[7]})));
        int[] ids = new int[8];
        ids[5] = 40;
        assertEquals(
                "Token id 40 at row 0, position 5 is outside the vocabulary: ids run from 0 to 39",
                refused(() -> tokenizer.decode(new int[][] {ids})));
        assertTrue(refused(() -> tokenizer.save(folder.resolve("vq.zip"))).contains("must end in .pt"));
    }

    @Test
    void refusesOtherFiles() throws IOException {
        Path none = folder.resolve("none.pt");
        assertEquals(
                "There is no tokenizer file " + none + ". Check the path",
                assertThrows(IOException.class, () -> VqTokenizer.load(none, null, 4, 4))
                        .getMessage());
        Path other = folder.resolve("other.pt");
        CheckpointWeights.write(other, Map.of("a", TensorSource.of(Nd4j.zeros(2))));
        String message = assertThrows(CheckpointException.class, () -> VqTokenizer.load(other, null, 4, 4))
                .getMessage();
        assertTrue(message.contains("holds no VQ tokenizer: there is no tensor quantize.embedding.weight"), message);
        Path untold = folder.resolve("untold.pt");
        CheckpointWeights.write(untold, Map.of("quantize.embedding.weight", TensorSource.of(Nd4j.zeros(2, 3))));
        message = assertThrows(CheckpointException.class, () -> VqTokenizer.load(untold, null, 4, 4))
                .getMessage();
        assertTrue(message.contains("encoder.conv_in.weight is missing"), message);
    }

    private static PixelImages images(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(7).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    private static String refused(org.junit.jupiter.api.function.Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
