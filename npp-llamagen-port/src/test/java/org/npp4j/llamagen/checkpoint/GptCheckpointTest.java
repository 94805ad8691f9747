package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;

class GptCheckpointTest {
    private static final Path HALF_WAY =
            GoldenGpt.resource("gpt-checkpoints/gpt-gqa-2-steps.pt").toPath();
    private static final GoldenGpt GQA = new GoldenGpt("gpt-gqa");

    @TempDir
    private Path folder;

    /** PyTorch makes the first two steps, this network the other two: the same weights as after four in PyTorch. */
    @Test
    void trainingGoesOnWherePyTorchStopped() throws IOException {
        ComputationGraph network = trainee();
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            GptCheckpoint checkpoint = GptCheckpoint.of(file);
            assertEquals(OptionalLong.of(2), checkpoint.steps());
            assertTrue(checkpoint.resumeInto(network));
        }
        assertEquals(2, network.getConfiguration().getIterationCount());
        finish(network);
    }

    /** Two steps here, written for PyTorch, read again, two more steps. */
    @Test
    void trainingGoesOnAfterACheckpointOfOurOwn() throws IOException {
        ComputationGraph first = trainee();
        GQA.loadInto(first);
        new StageScheduler(stages()).attachTo(first);
        first.addListeners(new GlobalNormClipping(1));
        first.fit(data());
        first.fit(data());
        Path file = folder.resolve("own.pt");
        GptCheckpoint.write(file, first);
        ComputationGraph second = trainee();
        try (TensorFile opened = TensorFile.open(file)) {
            assertEquals(GQA.spec(), GptCheckpoint.of(opened).spec(), "its arguments describe it");
            assertTrue(GptCheckpoint.of(opened).resumeInto(second));
        }
        assertEquals(0, SmallGpts.difference(first.params(), second.params()));
        finish(second);
    }

    private static ComputationGraph trainee() {
        IUpdater adam = new TorchAdam.Builder()
                .learningRate(1e-3)
                .beta1(0.9)
                .beta2(0.95)
                .build();
        return LlamaGen.of(GQA.spec()).updater(adam).weightDecay(0.05).init();
    }

    private static PatchStages stages() {
        return PatchStages.iterations().stage(3, 2).stage(1, 4).build();
    }

    private static MultiDataSet data() {
        INDArray tokens = GQA.array("tokens").castTo(DataType.INT32);
        INDArray classes = GQA.array("classes").castTo(DataType.INT32).reshape(3, 1);
        return new MultiDataSet(new INDArray[] {tokens, classes}, new INDArray[] {tokens});
    }

    private static void finish(ComputationGraph network) {
        new StageScheduler(stages()).attachTo(network);
        network.addListeners(new GlobalNormClipping(1));
        network.fit(data());
        network.fit(data());
        for (GptParameter parameter : GQA.parameters()) {
            INDArray expected = GQA.array("trained." + parameter.name());
            INDArray actual = parameter.published(network.getParam(parameter.networkName()));
            double difference = GoldenGpt.relativeDifference(expected, actual);
            assertTrue(difference <= 1e-4, parameter.name() + " differs by " + difference);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"model", "module", "state_dict", ""})
    void weightsAnywhereWithAnyPrefix(String holder) throws IOException {
        Map<String, Object> weights = new LinkedHashMap<>();
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            String[] prefixes = {"", "module.", "_orig_mod.", "_orig_mod.module.", "module.module._orig_mod."};
            for (Map.Entry<String, TensorSource> entry :
                    GptCheckpoint.of(file).weights().entrySet()) {
                weights.put(prefixes[weights.size() % 5] + entry.getKey(), Trees.kept(entry.getValue()));
            }
        }
        weights.put("freqs_cis", TensorSource.of(Nd4j.rand(37, 4, 2)));
        weights.put("causal_mask", TensorSource.of(Nd4j.rand(3, 3)));
        weights.put("module.layers.0.attention.kv_cache.k_cache", TensorSource.of(Nd4j.rand(3, 3)));
        Path path = folder.resolve("wrapped.pt");
        PyTorchWriter.write(path, holder.isEmpty() ? weights : Map.of(holder, weights, "steps", 7L));
        ComputationGraph network = LlamaGen.of(GQA.spec()).init();
        ComputationGraph expected = LlamaGen.of(GQA.spec()).init();
        try (TensorFile file = TensorFile.open(path);
                TensorFile original = TensorFile.open(HALF_WAY)) {
            GptCheckpoint.of(file).loadInto(network);
            GptCheckpoint.of(original).loadInto(expected);
            assertFalse(GptCheckpoint.of(file).resumeInto(network), "there is no optimizer");
            assertEquals(holder.isEmpty() ? 0 : 7, network.getConfiguration().getIterationCount());
        }
        assertEquals(0, SmallGpts.difference(expected.params(), network.params()));
    }

    @ParameterizedTest
    @EnumSource(
            value = TensorType.class,
            names = {"FLOAT64", "FLOAT16", "BFLOAT16"})
    void weightsOfAnyType(TensorType type) throws IOException {
        Path path = folder.resolve("typed.pt");
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            PyTorchWriter.write(
                    path,
                    Trees.mapTensors(
                            CheckpointTree.plain(Map.of("model", ((Map<?, ?>) file.root()).get("model"))),
                            tensor -> Trees.rounded(tensor, type)));
        }
        ComputationGraph network =
                LlamaGen.of(GQA.spec()).dataType(DataType.DOUBLE).init();
        try (TensorFile file = TensorFile.open(path)) {
            GptCheckpoint.of(file).loadInto(network);
            StoredTensor tensor = (StoredTensor)
                    ((Map<?, ?>) ((Map<?, ?>) file.root()).get("model")).get("layers.1.feed_forward.w2.weight");
            INDArray expected = tensor.toArray().castTo(DataType.DOUBLE);
            assertEquals(
                    0,
                    SmallGpts.difference(expected, network.getParam("block1_W2").transpose()));
        }
    }

    @Test
    void everythingThatDoesNotFitIsListedAtOnce() throws IOException {
        Map<Object, Object> weights = new LinkedHashMap<>();
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            GptCheckpoint.of(file).weights().forEach((name, tensor) -> weights.put(name, Trees.kept(tensor)));
        }
        weights.remove("norm.weight");
        weights.remove("layers.1.attention.wo.weight");
        weights.put("layers.0.attention.bias", TensorSource.of(Nd4j.zeros(DataType.FLOAT, 4)));
        weights.put("output.weight", TensorSource.of(Nd4j.zeros(DataType.FLOAT, 50, 40)));
        Path path = folder.resolve("broken.pt");
        PyTorchWriter.write(path, weights);
        ComputationGraph network = LlamaGen.of(GQA.spec()).init();
        INDArray before = network.params().dup();
        try (TensorFile file = TensorFile.open(path)) {
            TensorMismatchException mismatch = assertThrows(
                    TensorMismatchException.class, () -> GptCheckpoint.of(file).loadInto(network));
            assertEquals(List.of("layers.1.attention.wo.weight [48, 48]", "norm.weight [48]"), mismatch.missing());
            assertEquals(List.of("layers.0.attention.bias [4]"), mismatch.unexpected());
            assertEquals(List.of("output.weight is [50, 40], the model has [50, 48]"), mismatch.misshaped());
            assertTrue(mismatch.getMessage().contains("2 missing, 1 unexpected and 1 mis-shaped"));
        }
        assertEquals(0, SmallGpts.difference(before, network.params()), "nothing is copied then");
    }

    @Test
    void saysWhatItSeemsToBeInstead() throws IOException {
        GptSpec spec = GQA.spec();
        assertHint(
                "class table has 6 rows, the model's 5",
                spec.toBuilder().noClassRow(false).build());
        assertHint(
                "has one for \"no class\"", spec.toBuilder().noClassRow(false).build());
        assertHint("no row for \"no class\"", spec.toBuilder().classes(6).build());
        assertHint(
                "vocabulary of 50, the model of 60",
                spec.toBuilder().vocabulary(60).build());
        assertHint(
                "conditioned on classes, the model on captions",
                spec.toBuilder().captions(3, 8).build());
        assertHint("12 of width 768, as GPT-B", GptSize.GPT_B.spec().build());
    }

    private static void assertHint(String expected, GptSpec spec) throws IOException {
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            GptCheckpoint checkpoint = GptCheckpoint.of(file);
            TensorMismatchException mismatch =
                    assertThrows(TensorMismatchException.class, () -> checkpoint.requireFits(spec));
            assertTrue(mismatch.getMessage().contains(expected), mismatch.getMessage());
        }
    }

    /** Tensors without numbers: the sizes follow from shapes and arguments alone. */
    @Test
    void publishedSizesAreToldFromShapes() throws IOException {
        Map<String, Object> weights = new LinkedHashMap<>();
        GptSpec spec = GptSize.GPT_L
                .spec()
                .vocabulary(8192)
                .classes(10)
                .grid(TokenGrid.of(24, 24))
                .build();
        for (GptParameter parameter : GptParameters.of(spec)) {
            weights.put(parameter.name(), Trees.tensor(TensorType.FLOAT32, parameter.shapeArray(), new byte[0]));
        }
        Map<String, Object> arguments = Map.of("image_size", 384L, "downsample_size", 16L, "num_classes", 10L);
        Path file = Path.of("large.pt");
        assertEquals(
                spec,
                GptCheckpoint.of(file, Map.of("model", weights, "args", arguments))
                        .spec());
        assertEquals(
                spec.toBuilder().grid(TokenGrid.of(16, 16)).build(),
                GptCheckpoint.of(file, weights).spec());
        TensorMismatchException mismatch =
                assertThrows(TensorMismatchException.class, () -> GptCheckpoint.of(file, weights)
                        .requireFits(GptSize.GPT_B.spec().build()));
        assertTrue(mismatch.getMessage().contains("24 layers of width 1024, as GPT-L"), mismatch.getMessage());
        assertTrue(mismatch.getMessage().contains("--model GPT-L"), mismatch.getMessage());
        for (String name : mismatch.unexpected()) {
            assertTrue(mismatch.getMessage().contains("unexpected: " + name), name);
        }
        assertFalse(mismatch.getMessage().contains(".. and "), "every tensor is named");
    }

    @Test
    void captionsKeepTheUnconditionalOneOutOfTheOptimizer() throws IOException {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(4, 4)).captions(3, 8).build();
        ComputationGraph network = LlamaGen.of(spec).init();
        INDArray tokens = Nd4j.createFromArray(SmallGpts.images(spec, 2, 1)).castTo(DataType.FLOAT);
        network.fit(
                new MultiDataSet(new INDArray[] {tokens, Nd4j.rand(DataType.FLOAT, 2, 3, 8)}, new INDArray[] {tokens}));
        Path path = folder.resolve("text.pt");
        GptCheckpoint.write(path, network);
        ComputationGraph other = LlamaGen.of(spec).seed(5).init();
        try (TensorFile file = TensorFile.open(path)) {
            Map<?, ?> root = (Map<?, ?>) file.root();
            List<?> names = List.copyOf(((Map<?, ?>) root.get("model")).keySet());
            assertEquals(
                    List.of(
                            "cls_embedding.uncond_embedding",
                            "cls_embedding.cap_proj.fc1.weight",
                            "cls_embedding.cap_proj.fc2.weight",
                            "tok_embeddings.weight"),
                    names.subList(0, 4));
            Map<?, ?> state = (Map<?, ?>) ((Map<?, ?>) root.get("optimizer")).get("state");
            assertEquals(names.size() - 1, state.size());
            assertEquals(spec, GptCheckpoint.of(file).spec());
            GptCheckpoint.of(file).resumeInto(other);
        }
        assertEquals(0, SmallGpts.difference(network.params(), other.params()));
        assertEquals(
                0,
                SmallGpts.difference(
                        network.getUpdater().getStateViewArray(),
                        other.getUpdater().getStateViewArray()));
    }

    @Test
    void argumentsThatNoModelHas() throws IOException {
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            Map<Object, Object> root = new LinkedHashMap<>((Map<?, ?>) file.root());
            root.put("args", Map.of("config", Map.of("dim", 64L, "n_layer", 2_000_000_000L, "n_head", 4L)));
            CheckpointException layers = assertThrows(CheckpointException.class, () -> GptCheckpoint.of(HALF_WAY, root)
                    .spec());
            assertTrue(layers.getMessage().contains("n_layer is 2000000000"), layers.getMessage());
            root.put("args", Map.of("config", Map.of("dim", Integer.MAX_VALUE, "n_layer", 1L, "n_head", 1L << 30)));
            CheckpointException width = assertThrows(CheckpointException.class, () -> GptCheckpoint.of(HALF_WAY, root)
                    .spec());
            assertTrue(width.getMessage().contains("is too large"), width.getMessage());
            root.put("steps", 1L << 40);
            CheckpointException steps = assertThrows(CheckpointException.class, () -> GptCheckpoint.of(HALF_WAY, root)
                    .iteration(Optional.empty()));
            assertTrue(steps.getMessage().contains("1099511627776 steps"), steps.getMessage());
        }
        assertEquals("a.weight", CheckpointWeights.publishedName("module._orig_mod.".repeat(100_000) + "a.weight"));
        assertEquals("modules.a", CheckpointWeights.publishedName("modules.a"));
    }

    @Test
    void anOptimizerOfAnotherKind() throws IOException {
        ComputationGraph network = LlamaGen.of(GQA.spec()).updater(new Sgd(0.1)).init();
        try (TensorFile file = TensorFile.open(HALF_WAY)) {
            IllegalArgumentException refusal = assertThrows(
                    IllegalArgumentException.class, () -> GptCheckpoint.of(file).resumeInto(network));
            assertTrue(refusal.getMessage().contains("TorchAdam or Adam"), refusal.getMessage());
            Map<Object, Object> root = new LinkedHashMap<>((Map<?, ?>) file.root());
            root.put("optimizer", Map.of("state", Map.of(0L, Map.of()), "param_groups", List.of()));
            CheckpointException other = assertThrows(CheckpointException.class, () -> GptCheckpoint.of(HALF_WAY, root)
                    .optimizer(GQA.spec()));
            assertTrue(other.getMessage().contains("18 that decay and 7 that do not"), other.getMessage());
        }
    }
}
