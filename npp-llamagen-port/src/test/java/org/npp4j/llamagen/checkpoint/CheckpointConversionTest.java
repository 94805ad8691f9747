package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.SmallGpts;

class CheckpointConversionTest {
    private static final Path HALF_WAY =
            GoldenGpt.resource("gpt-checkpoints/gpt-gqa-2-steps.pt").toPath();
    private static final CheckpointConversion.Model GQA =
            new CheckpointConversion.Model(null, GptConfig.of(new GoldenGpt("gpt-gqa").spec()), false);

    @TempDir
    private Path folder;

    /** Through any other kind of file and back, with every type that weights have. */
    @ParameterizedTest
    @CsvSource({
        "zip, FLOAT32",
        "zip, BFLOAT16",
        "zip, FLOAT16",
        "zip, FLOAT64",
        "safetensors, FLOAT32",
        "safetensors, BFLOAT16",
        "safetensors, FLOAT16",
        "safetensors, FLOAT64",
        "pt, BFLOAT16"
    })
    void thereAndBackToTheBit(String kind, TensorType type) throws IOException {
        Path original = folder.resolve("original.pt");
        Object root = inType(read(HALF_WAY), type);
        PyTorchWriter.write(original, root);
        Path there = folder.resolve("there." + kind);
        Path back = folder.resolve("back.pt");
        CheckpointConversion.Result result = CheckpointConversion.convert(original, there, GQA);
        assertEquals(List.of(), result.notes());
        CheckpointConversion.convert(there, back, CheckpointConversion.Model.UNKNOWN);
        Trees.assertSame(root, read(back));
    }

    @ParameterizedTest
    @EnumSource(
            value = TensorType.class,
            names = {"FLOAT32", "BFLOAT16", "FLOAT64"})
    void fromNetworkToSafetensorsAndBack(TensorType type) throws IOException {
        Path original = folder.resolve("original.safetensors");
        Safetensors.write(HALF_WAY, original, inType(read(HALF_WAY), type));
        Path there = folder.resolve("there.zip");
        Path back = folder.resolve("back.safetensors");
        CheckpointConversion.convert(original, there, GQA);
        CheckpointConversion.convert(there, back, CheckpointConversion.Model.UNKNOWN);
        assertArrayEquals(Files.readAllBytes(original), Files.readAllBytes(back));
    }

    /** Moments and steps stay float32 beside weights of another type, as in mixed precision. */
    private static Object inType(Object root, TensorType type) {
        Map<Object, Object> changed = new LinkedHashMap<>((Map<?, ?>) root);
        changed.compute("model", (key, model) -> Trees.mapTensors(model, tensor -> Trees.rounded(tensor, type)));
        return changed;
    }

    @Test
    void safetensorsHoldWeightsUnderTheirPublishedNames() throws IOException {
        Path out = folder.resolve("a.safetensors");
        CheckpointConversion.Result result =
                CheckpointConversion.convert(HALF_WAY, out, CheckpointConversion.Model.UNKNOWN);
        assertEquals(25 + 75, result.tensors());
        assertEquals(Map.of("float32", 100), result.types());
        try (TensorFile file = TensorFile.open(out)) {
            assertTrue(file.tensors().containsKey("layers.2.attention.wqkv.weight"));
            assertTrue(file.tensors().containsKey("optimizer.state.0.exp_avg"));
            assertEquals("pt", file.metadata().get("format"));
        }
    }

    @Test
    void bareSafetensorsOfOthersBecomeAModel() throws IOException {
        Path in = folder.resolve("in.safetensors");
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        ((Map<?, ?>) ((Map<?, ?>) read(HALF_WAY)).get("model"))
                .forEach((name, tensor) -> tensors.put((String) name, (TensorSource) tensor));
        SafetensorsWriter.write(in, tensors, Map.of());
        Path out = folder.resolve("out.pt");
        CheckpointConversion.convert(in, out, CheckpointConversion.Model.UNKNOWN);
        Trees.assertSame(Map.of("model", tensors), read(out));
    }

    @Test
    void anyOtherFileKeepsItsNesting() throws IOException {
        Map<Object, Object> root = new LinkedHashMap<>();
        root.put("a", List.of(TensorSource.of(Nd4j.createFromArray(1, 2)), Tuple.of(1L, 2.0, null, "x", true)));
        root.put("a-0", TensorSource.of(Nd4j.createFromArray(3L)));
        root.put(7L, Map.of("$odd", Double.NaN));
        Path original = folder.resolve("original.pt");
        PyTorchWriter.write(original, root);
        Path there = folder.resolve("there.safetensors");
        Path back = folder.resolve("back.pt");
        CheckpointConversion.convert(original, there, CheckpointConversion.Model.UNKNOWN);
        CheckpointConversion.convert(there, back, CheckpointConversion.Model.UNKNOWN);
        Trees.assertSame(root, read(back));
    }

    @Test
    void modelSerializerReadsTheNetworkWithItsOptimizer() throws IOException {
        Path out = folder.resolve("network.zip");
        CheckpointConversion.convert(HALF_WAY, out, GQA);
        ComputationGraph network = ModelSerializer.restoreComputationGraph(out.toFile(), true);
        ComputationGraph loaded = ComputationGraph.load(out.toFile(), true);
        ComputationGraph ours = NetworkZip.load(out, true);
        GoldenGpt golden = new GoldenGpt("gpt-gqa");
        assertEquals(2, network.getConfiguration().getIterationCount());
        assertEquals(golden.spec(), LlamaGen.specOf(network.getConfiguration()));
        ComputationGraph expected =
                LlamaGen.of(golden.spec()).updater(updater(network)).init();
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            assertTrue(GptCheckpoint.of(file).resumeInto(expected));
        }
        for (ComputationGraph each : List.of(network, loaded, ours)) {
            assertEquals(0, SmallGpts.difference(expected.params(), each.params()));
            assertEquals(
                    0,
                    SmallGpts.difference(
                            expected.getUpdater().getStateViewArray(),
                            each.getUpdater().getStateViewArray()));
        }
    }

    private static org.nd4j.linalg.learning.config.IUpdater updater(ComputationGraph network) {
        return NetworkLayout.of(network.getConfiguration()).slots().get(0).updater();
    }

    /** What a run of Deeplearning4j saves by itself, without any model name. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aNetworkThatTrainedHere(boolean updater) throws IOException {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(2, 4)).noClassRow(false).build();
        ComputationGraph network = LlamaGen.of(spec).weightDecay(0.1).init();
        network.fit(SmallGpts.data(SmallGpts.images(spec, 2, 1)));
        network.fit(SmallGpts.data(SmallGpts.images(spec, 2, 2)));
        Path zip = folder.resolve("npp.zip");
        ModelSerializer.writeModel(network, zip.toFile(), updater);
        Path pt = folder.resolve("npp.pt");
        Path back = folder.resolve("back.zip");
        CheckpointConversion.convert(zip, pt, CheckpointConversion.Model.UNKNOWN);
        CheckpointConversion.convert(pt, back, CheckpointConversion.Model.UNKNOWN);
        ComputationGraph restored = NetworkZip.load(back, true);
        assertEquals(spec, LlamaGen.specOf(restored.getConfiguration()));
        assertEquals(0, SmallGpts.difference(network.params(), restored.params()));
        if (updater) {
            assertEquals(2, restored.getConfiguration().getIterationCount());
            assertEquals(
                    0,
                    SmallGpts.difference(
                            network.getUpdater().getStateViewArray(),
                            restored.getUpdater().getStateViewArray()));
        }
    }

    @Test
    void theTensorsOfANetworkAreThoseOfItsCheckpoint() throws IOException {
        Path zip = folder.resolve("network.zip");
        CheckpointConversion.convert(HALF_WAY, zip, GQA);
        assertTrue(NetworkZip.isNetwork(zip));
        assertFalse(NetworkZip.isNetwork(HALF_WAY));
        Map<String, TensorSource> tensors = NetworkZip.tensors(zip);
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            assertEquals(List.copyOf(file.tensors().keySet()), List.copyOf(tensors.keySet()));
            for (Map.Entry<String, StoredTensor> entry : file.tensors().entrySet()) {
                TensorSource tensor = tensors.get(entry.getKey());
                assertArrayEquals(entry.getValue().shape(), tensor.shape());
                assertEquals(entry.getValue().sum(), tensor.sum());
            }
        }
        Path other = folder.resolve("other.zip");
        ComputationGraph stranger = new ComputationGraph(new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("in")
                .addLayer(
                        "out",
                        new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                                .nIn(2)
                                .nOut(2)
                                .build(),
                        "in")
                .setOutputs("out")
                .build());
        stranger.init();
        ModelSerializer.writeModel(stranger, other.toFile(), false);
        CheckpointException e = assertThrows(CheckpointException.class, () -> NetworkZip.tensors(other));
        assertTrue(e.getMessage().contains("is no GPT of LlamaGen"), e.getMessage());
    }

    /** A length that the file cannot fill asks for no memory. */
    @Test
    void aNetworkThatSaysToBeHuge() throws IOException {
        Path zip = folder.resolve("network.zip");
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(zip))) {
            out.putNextEntry(new ZipEntry("configuration.json"));
            out.write(LlamaGen.of(GQA.config().spec()).build().toJson().getBytes(StandardCharsets.UTF_8));
            out.putNextEntry(new ZipEntry("coefficients.bin"));
            DataOutputStream data = new DataOutputStream(out);
            for (long length : new long[] {0, 1L << 40}) {
                data.writeUTF("MIXED_DATA_TYPES");
                data.writeLong(length);
                data.writeUTF("FLOAT");
            }
        }
        CheckpointException e = assertThrows(CheckpointException.class, () -> NetworkZip.load(zip, false));
        assertTrue(e.getMessage().contains("it says to hold 1099511627776 numbers"), e.getMessage());
        Path text = Files.writeString(folder.resolve("text.zip"), "text");
        assertFalse(NetworkZip.isNetwork(text));
        assertFalse(NetworkZip.isNetwork(folder));
        assertFalse(NetworkZip.isNetwork(folder.resolve("none.zip")));
    }

    /** Steps count on, and weights that are no bfloat16 any more are not cut. */
    @Test
    void aNetworkThatTrainedOn() throws IOException {
        Path original = folder.resolve("original.pt");
        PyTorchWriter.write(original, inType(read(HALF_WAY), TensorType.BFLOAT16));
        Path zip = folder.resolve("network.zip");
        CheckpointConversion.convert(original, zip, GQA);
        NetworkState state = NetworkZip.read(zip, true);
        state.parameters().addi(1e-3);
        state.configuration().setIterationCount(12);
        List<String> notes = new java.util.ArrayList<>();
        Map<?, ?> root = (Map<?, ?>) state.restored(notes);
        assertEquals(12L, root.get("steps"));
        assertTrue(notes.toString().contains("written as float32"), notes::toString);
        TensorSource weight = (TensorSource) ((Map<?, ?>) root.get("model")).get("norm.weight");
        assertEquals(TensorType.FLOAT32, weight.type());
        Path out = folder.resolve("out.pt");
        PyTorchWriter.write(out, root);
        Map<?, ?> optimizer = (Map<?, ?>) ((Map<?, ?>) read(out)).get("optimizer");
        Map<?, ?> first = (Map<?, ?>) ((Map<?, ?>) optimizer.get("state")).get(0L);
        assertArrayEquals(
                Trees.bytes(TensorSource.of(Nd4j.scalar(12f))), Trees.bytes((TensorSource) first.get("step")));
    }

    @Test
    void theMovingAverageIsLeftOutUnlessItIsAskedFor() throws IOException {
        Map<Object, Object> root = new LinkedHashMap<>((Map<?, ?>) read(HALF_WAY));
        root.put("ema", Trees.mapTensors(root.get("model"), tensor -> Trees.rounded(tensor, TensorType.BFLOAT16)));
        Path original = folder.resolve("original.pt");
        PyTorchWriter.write(original, root);
        Path zip = folder.resolve("network.zip");
        List<String> notes = CheckpointConversion.convert(original, zip, GQA).notes();
        assertTrue(notes.toString().contains("left out") && notes.toString().contains("ema ("), notes::toString);
        CheckpointConversion.Result average =
                CheckpointConversion.convert(original, zip, new CheckpointConversion.Model(null, GQA.config(), true));
        assertEquals(List.of(), average.notes());
        Path back = folder.resolve("back.pt");
        CheckpointConversion.convert(zip, back, CheckpointConversion.Model.UNKNOWN);
        Trees.assertSame(root.get("ema"), ((Map<?, ?>) read(back)).get("model"));
        IOException missing = assertThrows(
                IOException.class,
                () -> CheckpointConversion.convert(
                        HALF_WAY, zip, new CheckpointConversion.Model(null, GQA.config(), true)));
        assertTrue(missing.getMessage().contains("no moving average"), missing.getMessage());
    }

    @Test
    void refusals() throws IOException {
        Path copy = Files.copy(HALF_WAY, folder.resolve("copy.pt"));
        assertRefused("never overwritten", copy, copy);
        assertRefused(".safetensors or .zip", copy, folder.resolve("copy.onnx"));
        assertRefused("--config FILE.json", copy, folder.resolve("copy.zip"));
        Path text = Files.writeString(folder.resolve("text.pt"), "text");
        assertRefused("text.pt", text, folder.resolve("copy.zip"));
        assertRefused("none.pt", folder.resolve("none.pt"), folder.resolve("copy.zip"));
        Path vq = folder.resolve("vq.pt");
        PyTorchWriter.write(vq, Map.of("model", Map.of("quantize", TensorSource.of(Nd4j.scalar(1f)))));
        assertRefused("holds no LlamaGen GPT", vq, folder.resolve("copy.zip"));
        TensorMismatchException mismatch = assertThrows(
                TensorMismatchException.class,
                () -> CheckpointConversion.convert(
                        copy, folder.resolve("copy.zip"), new CheckpointConversion.Model(GptSize.GPT_B, null, false)));
        assertEquals(63, mismatch.missing().size());
        assertTrue(mismatch.getMessage().contains("63 missing, 0 unexpected and 25 mis-shaped"), mismatch.getMessage());
        assertTrue(!Files.exists(folder.resolve("copy.zip")));
    }

    private static void assertRefused(String message, Path in, Path out) {
        Exception refusal = assertThrows(
                Exception.class, () -> CheckpointConversion.convert(in, out, CheckpointConversion.Model.UNKNOWN));
        assertTrue(String.valueOf(refusal.getMessage()).contains(message), refusal.toString());
    }

    private static Object read(Path path) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            return Trees.kept(file.root());
        }
    }
}
