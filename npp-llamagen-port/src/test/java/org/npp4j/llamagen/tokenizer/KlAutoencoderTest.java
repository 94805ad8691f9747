package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.PyTorchWriter;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorMismatchException;
import org.npp4j.llamagen.checkpoint.TensorSource;
import org.npp4j.llamagen.files.NpzFile;

class KlAutoencoderTest {
    private static final double TOLERANCE = 1e-5;
    private static final KlConfig SMALL = new KlConfig.Builder()
            .channels(32)
            .channelMultipliers(2, 1)
            .residualBlocks(1)
            .zChannels(5)
            .latentChannels(3)
            .decoderAttention(1)
            .build();

    @TempDir
    private Path folder;

    private static Path golden(String name) {
        try {
            return Path.of(
                    KlAutoencoderTest.class.getResource("/golden/kl/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static KlAutoencoder golden() throws IOException {
        return KlAutoencoder.load(
                golden("kl.ckpt"), KlDescription.read(golden("kl.json")).config());
    }

    @ParameterizedTest
    @CsvSource({
        "kl.ckpt, kl.json",
        "kl.ckpt, kl-diffusers.json",
        "kl-diffusers.safetensors, kl-diffusers.json",
        "kl-diffusers-early.bin, kl.json"
    })
    void computesWhatPyTorchComputes(String weights, String config) throws IOException {
        KlAutoencoder autoencoder = KlAutoencoder.load(
                golden(weights), KlDescription.read(golden(config)).config());
        try (NpzFile expected = NpzFile.open(golden("kl.npz"))) {
            LatentDistribution latents = autoencoder.encode(expected.array("images"));
            assertClose(expected.array("moments"), Nd4j.concat(1, latents.mean(), latents.logVariance()), "moments");
            assertClose(expected.array("sample"), latents.sample(expected.array("noise")), "sample");
            assertArrayEquals(expected.array("divergence").toDoubleVector(), latents.divergence(), 1e-4);
            assertClose(expected.array("decoded"), autoencoder.decode(latents.mode()), "decoded");
        }
    }

    private static void assertClose(INDArray expected, INDArray actual, String name) {
        assertArrayEquals(expected.shape(), actual.shape(), name);
        double difference = expected.sub(actual).amaxNumber().doubleValue();
        double relative = difference / expected.amaxNumber().doubleValue();
        assertTrue(relative < TOLERANCE, name + " differs by " + relative);
    }

    /** All layouts of the same weights give the same, to the bit; a whole latent diffusion model has others beside. */
    @Test
    void theSameInEveryLayout() throws IOException {
        KlAutoencoder autoencoder = golden();
        Path whole = folder.resolve("whole.ckpt");
        try (TensorFile file = TensorFile.open(golden("kl.ckpt"))) {
            Map<String, Object> weights = new LinkedHashMap<>();
            CheckpointWeights.of(file, name -> name.startsWith("loss."))
                    .forEach((name, tensor) -> weights.put("first_stage_model." + name, tensor));
            weights.put("model.diffusion_model.out.0.weight", TensorSource.of(Nd4j.zeros(3)));
            weights.put("first_stage_model.loss.logvar", TensorSource.of(Nd4j.zeros(1)));
            PyTorchWriter.write(whole, Map.of("state_dict", weights, "global_step", 470000L));
        }
        Path saved = folder.resolve("saved.pt");
        autoencoder.save(saved);
        for (Path file : List.of(golden("kl-diffusers.safetensors"), golden("kl-diffusers-early.bin"), whole, saved)) {
            Map<String, INDArray> weights =
                    KlAutoencoder.load(file, autoencoder.config()).weights();
            autoencoder.weights().forEach((name, expected) -> assertEquals(expected, weights.get(name), name));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"kl.pt", "kl.safetensors"})
    void loadsWhatItSavesAndTellsItsSizes(String name) throws IOException {
        KlAutoencoder autoencoder = KlAutoencoder.random(SMALL, 3);
        Path file = folder.resolve(name);
        autoencoder.save(file);
        KlAutoencoder loaded = KlAutoencoder.load(file, null);
        assertEquals(SMALL, loaded.config());
        INDArray images = Nd4j.rand(DataType.FLOAT, 2, 3, 6, 4);
        assertEquals(autoencoder.encode(images).mode(), loaded.encode(images).mode());
        INDArray latents = Nd4j.randn(DataType.FLOAT, 2, 3, 3, 2);
        assertEquals(autoencoder.decode(latents), loaded.decode(latents));
        try (TensorFile open = TensorFile.open(file)) {
            String prefix = name.endsWith(".pt") ? "model." : "";
            assertArrayEquals(
                    new long[] {32, 32, 1, 1},
                    open.tensors()
                            .get(prefix + "decoder.up.1.attn.1.proj_out.weight")
                            .shape());
        }
    }

    @Test
    void anImageDoesNotDependOnItsBatch() {
        // passes of one image and of many
        KlAutoencoder autoencoder = KlAutoencoder.random(SMALL, 4);
        INDArray images = Nd4j.rand(DataType.FLOAT, 2, 3, 256, 160);
        INDArray latents = autoencoder.encode(images).mode();
        assertEquals(
                latents.slice(1),
                autoencoder
                        .encode(images.slice(1).reshape(1, 3, 256, 160))
                        .mode()
                        .slice(0));
        assertEquals(
                autoencoder.decode(latents).slice(0),
                autoencoder.decode(latents.slice(0).reshape(1, 3, 128, 80)).slice(0));
    }

    @Test
    void clampsLogVariances() {
        INDArray moments = Nd4j.createFromArray(new float[] {1, 2, 40, -40}).reshape(1, 4, 1, 1);
        LatentDistribution latents = LatentDistribution.ofMoments(moments);
        assertArrayEquals(
                new float[] {20, -30}, latents.logVariance().dup('c').reshape(2).toFloatVector());
        assertArrayEquals(new float[] {1, 2}, latents.mode().dup('c').reshape(2).toFloatVector());
        INDArray noise = Nd4j.createFromArray(new float[] {1, 1}).reshape(1, 2, 1, 1);
        float[] drawn = latents.sample(noise).reshape(2).toFloatVector();
        assertEquals(1 + Math.exp(10), drawn[0], 1e-2);
        assertEquals(2, drawn[1], 1e-6);
        double expected = 0.5 * (1 + Math.exp(20) - 1 - 20) + 0.5 * (4 + Math.exp(-30) - 1 + 30);
        assertEquals(expected, latents.divergence()[0], 1e-6 * expected);
    }

    @Test
    void listsEveryTensorThatDoesNotFit() throws IOException {
        Path file = folder.resolve("kl.pt");
        KlAutoencoder.random(SMALL, 1).save(file);
        Path broken = folder.resolve("broken.safetensors");
        try (TensorFile open = TensorFile.open(file)) {
            Map<String, TensorSource> weights = new LinkedHashMap<>(CheckpointWeights.of(open, name -> false));
            weights.remove("decoder.mid.attn_1.q.bias");
            weights.remove("encoder.norm_out.weight");
            weights.put("discriminator.weight", TensorSource.of(Nd4j.zeros(2, 3)));
            weights.put("post_quant_conv.weight", TensorSource.of(Nd4j.zeros(5, 4, 1, 1)));
            CheckpointWeights.write(broken, weights);
        }
        TensorMismatchException mismatch =
                assertThrows(TensorMismatchException.class, () -> KlAutoencoder.load(broken, null));
        assertEquals(List.of("encoder.norm_out.weight [32]", "decoder.mid.attn_1.q.bias [32]"), mismatch.missing());
        assertEquals(List.of("discriminator.weight [2, 3]"), mismatch.unexpected());
        assertEquals(
                List.of("post_quant_conv.weight is [5, 4, 1, 1], the model has [5, 3, 1, 1]"), mismatch.misshaped());
        KlConfig other = new KlConfig.Builder()
                .channels(32)
                .channelMultipliers(2, 1)
                .residualBlocks(1)
                .zChannels(5)
                .latentChannels(3)
                .build();
        mismatch = assertThrows(TensorMismatchException.class, () -> KlAutoencoder.load(file, other));
        assertEquals(20, mismatch.unexpected().size());
        assertTrue(
                mismatch.getMessage()
                        .contains("The checkpoint looks like a KL autoencoder of 32 channels x [2, 1], 1 residual"
                                + " blocks, z 5, 3 latent channels, attention on decoder levels [1]; the model is a"),
                mismatch::getMessage);
    }

    /** In a file of diffusers the names are those that it has there. */
    @Test
    void namesTensorsAsTheFileDoes() {
        KlConfig other = new KlConfig.Builder()
                .channels(4)
                .channelMultipliers(1, 2)
                .residualBlocks(1)
                .latentChannels(3)
                .decoderAttention(0)
                .groups(4)
                .build();
        TensorMismatchException mismatch = assertThrows(
                TensorMismatchException.class, () -> KlAutoencoder.load(golden("kl-diffusers.safetensors"), other));
        assertTrue(mismatch.missing().contains("decoder.up_blocks.1.attentions.0.to_q.weight [4, 4]"));
        assertTrue(mismatch.unexpected().contains("encoder.down_blocks.1.attentions.0.to_out.0.weight [8, 8]"));
        assertEquals(List.of(), mismatch.misshaped());
    }

    @Test
    void refusesOtherFiles() throws IOException {
        Path none = folder.resolve("none.pt");
        assertEquals(
                "There is no autoencoder file " + none + ". Check the path",
                assertThrows(IOException.class, () -> KlAutoencoder.load(none, null))
                        .getMessage());
        String message = failed(GoldenVq.file("vq-odd.pt"));
        assertTrue(message.contains("holds no KL autoencoder: there are no tensors encoder.down.0"), message);
        message = failed(golden("kl.ckpt"));
        assertTrue(message.contains("the group norms need a multiple of their 32 groups"), message);
        assertTrue(message.contains("norm_num_groups"), message);
        message = failed(with(Map.of("encoder.down.0.block.0.conv1.weight", new long[] {32, 32, 3, 3})));
        assertTrue(message.contains("encoder.conv_in.weight is missing"), message);
        Map<String, long[]> told = new LinkedHashMap<>(Map.of(
                "encoder.conv_in.weight", new long[] {32, 3, 3, 3},
                "encoder.conv_out.weight", new long[] {9, 32, 3, 3},
                "quant_conv.weight", new long[] {8, 9, 1, 1},
                "encoder.down.0.block.0.conv1.weight", new long[] {32, 32, 3, 3}));
        message = failed(with(told));
        assertTrue(message.contains("gives 9 channels from its encoder and 8 from quant_conv"), message);
        told.put("encoder.down.0.block.0.conv1.weight", new long[] {40, 32, 3, 3});
        message = failed(with(told));
        assertTrue(message.contains("has 32 channels at first but 40 on level 0"), message);
    }

    private Path with(Map<String, long[]> shapes) throws IOException {
        Map<String, TensorSource> weights = new LinkedHashMap<>();
        shapes.forEach((name, shape) -> weights.put(name, TensorSource.of(Nd4j.zeros(DataType.FLOAT, shape))));
        Path file = folder.resolve("made.pt");
        CheckpointWeights.write(file, weights);
        return file;
    }

    private static String failed(Path file) {
        return assertThrows(CheckpointException.class, () -> KlAutoencoder.load(file, null))
                .getMessage();
    }

    @Test
    void refusesWhatItCannotWorkOn() {
        KlAutoencoder autoencoder = KlAutoencoder.random(SMALL, 1);
        assertEquals(
                "Images must have the shape [count, 3, height, width], at least one, got [2, 1, 4, 4]",
                refused(() -> autoencoder.encode(Nd4j.zeros(2, 1, 4, 4))));
        assertTrue(refused(() -> autoencoder.encode(Nd4j.zeros(2, 3, 4, 5))).contains("a downsampling of 2"));
        assertEquals(
                "Latents must have the shape [count, 3, height, width], at least one, got [2, 4, 2, 2]",
                refused(() -> autoencoder.decode(Nd4j.zeros(2, 4, 2, 2))));
        assertTrue(refused(() -> autoencoder.save(folder.resolve("kl.zip"))).contains("must end in .pt"));
        assertEquals(
                "Moments are [images, 2 x latent channels, height, width], got [1, 3, 2, 2]",
                refused(() -> LatentDistribution.ofMoments(Nd4j.zeros(1, 3, 2, 2))));
        LatentDistribution latents = autoencoder.encode(Nd4j.zeros(1, 3, 4, 4));
        assertEquals(
                "There must be noise for every number of the latents, [1, 3, 2, 2], got [1, 3, 2, 1]",
                refused(() -> latents.sample(Nd4j.zeros(1, 3, 2, 1))));
        assertThrows(
                IllegalStateException.class,
                () -> autoencoder.encode(Nd4j.valueArrayOf(new long[] {1, 3, 4, 4}, Double.NaN)));
    }

    private static String refused(Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
