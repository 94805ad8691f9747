package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.memory.LayerMemoryReport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.KeyValueCache;

/** {@link TransformerBlock} alone. */
class TransformerBlockTest {
    private static final TokenGrid GRID = TokenGrid.of(2, 2);

    @BeforeEach
    void seed() {
        Nd4j.getRandom().setSeed(2);
    }

    private static TransformerBlock.Builder small() {
        return new TransformerBlock.Builder(GRID, 2, 6).nIn(8);
    }

    @RepeatedTest(25)
    void forwardMatchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int p = 1 + random.nextInt(3);
        int rows = random.nextInt(4) == 0 ? 1 : p * (1 + random.nextInt(2));
        TokenGrid grid = TokenGrid.of(rows, p * (1 + random.nextInt(3)));
        int groups = 1 + random.nextInt(2);
        int heads = groups * (1 + random.nextInt(2));
        int width = heads * 4 * (1 + random.nextInt(2));
        int c = random.nextBoolean() ? 1 : 3;
        TransformerBlock block = new TransformerBlock.Builder(grid, heads, 1 + random.nextInt(9))
                .nIn(width)
                .keyValueHeads(groups)
                .conditionTokens(c)
                .rotaryBase(random.nextBoolean() ? 10000 : 50)
                .epsilon(random.nextBoolean() ? 1e-5 : 0.1)
                .build();
        int batch = 1 + random.nextInt(3);
        int positions = c + grid.ofPatches(p).tokens() - 1;
        double[][][] x = SingleLayer.values(random, batch, positions, width);
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            Layer layer = SingleLayer.of(block, type, repetition.getCurrentRepetition());
            double[][][] expected = new NaiveBlock(layer).forward(x);
            double largest = Nd4j.createFromArray(expected).amaxNumber().doubleValue();
            double tolerance = largest * (type == DataType.DOUBLE ? 1e-12 : 2e-6);
            for (char order : new char[] {'c', 'f'}) {
                INDArray input = Nd4j.createFromArray(x).castTo(type).dup(order);
                for (boolean training : new boolean[] {true, false}) {
                    INDArray out = SingleLayer.forward(layer, input, training);
                    assertEquals(type, out.dataType());
                    assertEquals(0, SingleLayer.largestDifference(expected, out), tolerance);
                }
                assertEquals(Nd4j.createFromArray(x).castTo(type), input, "the input changed");
            }
        }
    }

    /** Masks of the condition alone, and of the condition and all that follows, which is not hidden. */
    @RepeatedTest(12)
    void hiddenConditionTokensMatchLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int c = 2 + random.nextInt(4);
        int groups = 1 + random.nextInt(2);
        TokenGrid grid = TokenGrid.of(1 + random.nextInt(3), 1 + random.nextInt(3));
        TransformerBlock block = new TransformerBlock.Builder(grid, 2, 5)
                .nIn(8)
                .keyValueHeads(groups)
                .conditionTokens(c)
                .build();
        int batch = 1 + random.nextInt(3);
        int positions = c + grid.tokens() - 1;
        double[][][] x = SingleLayer.values(random, batch, positions, 8);
        double[][] seen = new double[batch][c];
        double[][] longMask = new double[batch][positions];
        for (int b = 0; b < batch; b++) {
            for (int t = 0; t < positions; t++) {
                longMask[b][t] = random.nextInt(2);
                if (t < c) {
                    seen[b][t] = longMask[b][t];
                }
            }
        }
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            TransformerBlockImpl layer =
                    (TransformerBlockImpl) SingleLayer.of(block, type, repetition.getCurrentRepetition());
            double[][][] expected = new NaiveBlock(layer).seeing(seen).forward(x);
            double largest = Nd4j.createFromArray(expected).amaxNumber().doubleValue();
            double tolerance = largest * (type == DataType.DOUBLE ? 1e-12 : 2e-6);
            INDArray input = Nd4j.createFromArray(x).castTo(type);
            for (double[][] mask : new double[][][] {seen, longMask}) {
                layer.setMaskArray(Nd4j.createFromArray(mask));
                for (boolean training : new boolean[] {true, false}) {
                    INDArray out = SingleLayer.forward(layer, input, training);
                    assertEquals(0, SingleLayer.largestDifference(expected, out), tolerance);
                }
            }
            layer.setMaskArray(null);
            KeyValueCache cache = layer.newCache(batch);
            for (int first : new int[] {c, 1, positions}) {
                cache.clear();
                cache.hideCondition(Nd4j.createFromArray(seen));
                for (int from = 0; from < positions; ) {
                    int to = from == 0 ? first : from + 1;
                    INDArray chunk = input.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
                    INDArray out = layer.decode(chunk, cache, SingleLayer.NO_WORKSPACES);
                    for (int b = 0; b < batch; b++) {
                        for (int t = from; t < to; t++) {
                            assertEquals(expected[b][t][3], out.getDouble(b, t - from, 3), tolerance);
                        }
                    }
                    from = to;
                }
            }
        }
    }

    @Test
    void refusesMasksThatDoNotFit() {
        TransformerBlockImpl layer =
                (TransformerBlockImpl) SingleLayer.of(small().conditionTokens(3).build(), DataType.FLOAT, 1);
        layer.setMaskArray(Nd4j.ones(DataType.FLOAT, 2, 2));
        String message =
                Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.ones(DataType.FLOAT, 2, 6, 8), false));
        assertTrue(
                message.startsWith("A mask of 3 condition tokens and what follows is [2, at least 3], got [2, 2]"),
                message);
        layer.setMaskArray(null);
        KeyValueCache cache = layer.newCache(2);
        assertEquals(
                "The mask of the condition is [2, condition tokens], got [3, 2]",
                Refusal.ofArgument(() -> cache.hideCondition(Nd4j.ones(DataType.FLOAT, 3, 2))));
        layer.decode(Nd4j.ones(DataType.FLOAT, 2, 1, 8), cache, SingleLayer.NO_WORKSPACES);
        assertEquals(
                "The mask of the condition comes before its first position, but the cache holds 1 positions already."
                        + " Call clear() first",
                Refusal.ofState(() -> cache.hideCondition(null)));
    }

    @Test
    void aViewIsReadCorrectly() {
        Layer layer = SingleLayer.of(small().build(), DataType.DOUBLE, 1);
        INDArray view = Nd4j.randn(DataType.DOUBLE, 2, 6, 16)
                .get(NDArrayIndex.all(), NDArrayIndex.interval(1, 5), NDArrayIndex.interval(3, 11));
        INDArray expected = SingleLayer.forward(layer, view.dup('c'), false).dup();
        assertEquals(expected, SingleLayer.forward(layer, view, false));
        INDArray epsilon = Nd4j.randn(DataType.DOUBLE, 2, 8, 4).permute(0, 2, 1);
        SingleLayer.forward(layer, view, true);
        INDArray fromView =
                layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES).getSecond();
        SingleLayer.forward(layer, view.dup('c'), true);
        assertEquals(
                layer.backpropGradient(epsilon.dup('c'), SingleLayer.NO_WORKSPACES)
                        .getSecond(),
                fromView);
    }

    // --- decoding ---

    @ParameterizedTest(name = "{0} x {1}, {2} heads, {3} key/value heads, C = {4}, {5}")
    @CsvSource({
        "4, 4, 2, 2, 1, FLOAT",
        "4, 4, 2, 2, 1, DOUBLE",
        "2, 3, 4, 2, 3, FLOAT",
        "2, 3, 4, 1, 3, DOUBLE",
        "1, 9, 2, 1, 1, DOUBLE"
    })
    void decodingEqualsTheFullForwardPass(int height, int width, int heads, int groups, int c, DataType type) {
        TokenGrid grid = TokenGrid.of(height, width);
        TransformerBlock block = new TransformerBlock.Builder(grid, heads, 10)
                .nIn(8L * heads)
                .keyValueHeads(groups)
                .conditionTokens(c)
                .build();
        TransformerBlockImpl layer = (TransformerBlockImpl) SingleLayer.of(block, type, 3);
        int positions = c + grid.tokens() - 1;
        INDArray x = Nd4j.randn(type, 3, positions, 8L * heads);
        INDArray full = SingleLayer.forward(layer, x, false).dup();
        double tolerance = full.amaxNumber().doubleValue() * (type == DataType.DOUBLE ? 1e-12 : 1e-6);
        KeyValueCache cache = layer.newCache(3);
        assertEquals(positions, cache.capacity());
        Random random = new Random(7);
        for (int longest : new int[] {1, 2, 5, positions}) {
            cache.clear();
            int from = 0;
            while (from < positions) {
                int to = Math.min(positions, from + (longest == 1 ? 1 : 1 + random.nextInt(longest)));
                INDArray chunk = x.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
                INDArray out = layer.decode(chunk, cache, SingleLayer.NO_WORKSPACES);
                INDArray expected = full.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
                assertEquals(0, expected.sub(out).amaxNumber().doubleValue(), tolerance, from + " .. " + to);
                from = to;
                assertEquals(from, cache.length());
            }
        }
    }

    @Test
    void aFullCacheIsRefused() {
        TransformerBlockImpl layer = (TransformerBlockImpl) SingleLayer.of(small().build(), DataType.FLOAT, 1);
        KeyValueCache cache = layer.newCache(1);
        INDArray all = Nd4j.randn(DataType.FLOAT, 1, 4, 8);
        INDArray one = Nd4j.randn(DataType.FLOAT, 1, 1, 8);
        layer.decode(all, cache, SingleLayer.NO_WORKSPACES);
        assertEquals(
                "The key/value cache holds 4 positions, got 5. Start the next sequence with an empty cache",
                Refusal.ofState(() -> layer.decode(one, cache, SingleLayer.NO_WORKSPACES)));
        assertEquals(
                "The key/value cache holds 4 positions, got 8. Start the next sequence with an empty cache",
                Refusal.ofState(() -> layer.decode(all, cache, SingleLayer.NO_WORKSPACES)));
        assertEquals(
                "The key/value cache is for 1 examples, got 2. Call clear(batch) or make a new cache for another"
                        + " batch size",
                Refusal.ofArgument(
                        () -> layer.decode(Nd4j.zeros(DataType.FLOAT, 2, 1, 8), cache, SingleLayer.NO_WORKSPACES)));
        cache.clear();
        layer.decode(one, cache, SingleLayer.NO_WORKSPACES);
        assertEquals(1, cache.length());
    }

    /** Sequences that leave the batch, and batches smaller than the cache, change nothing for the others. */
    @Test
    void aCacheServesSmallerBatches() {
        TransformerBlockImpl layer = (TransformerBlockImpl) SingleLayer.of(small().build(), DataType.DOUBLE, 1);
        INDArray x = Nd4j.randn(DataType.DOUBLE, 3, 4, 8);
        try (KeyValueCache cache = layer.newCache(3)) {
            INDArray expected =
                    layer.decode(x, cache, SingleLayer.NO_WORKSPACES).dup();
            cache.clear();
            layer.decode(positions(x, 3, 0, 2), cache, SingleLayer.NO_WORKSPACES);
            cache.keepFirst(2);
            assertEquals(2, cache.batch());
            INDArray rest = layer.decode(positions(x, 2, 2, 4), cache, SingleLayer.NO_WORKSPACES);
            assertEquals(0, positions(expected, 2, 2, 4).sub(rest).amaxNumber().doubleValue(), 1e-12);
            cache.clear(1);
            INDArray alone = layer.decode(positions(x, 1, 0, 4), cache, SingleLayer.NO_WORKSPACES);
            assertEquals(0, positions(expected, 1, 0, 4).sub(alone).amaxNumber().doubleValue(), 1e-12);
            cache.clear(3);
            INDArray again = layer.decode(x, cache, SingleLayer.NO_WORKSPACES);
            assertEquals(0, expected.sub(again).amaxNumber().doubleValue(), 1e-12);
            assertEquals(
                    "The key/value cache has room for 1 to 3 examples, got 4",
                    Refusal.ofArgument(() -> cache.clear(4)));
            assertEquals(
                    "The key/value cache has room for 1 to 3 examples, got 0",
                    Refusal.ofArgument(() -> cache.keepFirst(0)));
            cache.close(); // a second time below
        }
    }

    private static INDArray positions(INDArray x, int examples, int from, int to) {
        return x.get(NDArrayIndex.interval(0, examples), NDArrayIndex.interval(from, to), NDArrayIndex.all())
                .dup('c');
    }

    @Test
    void decodingRefusesOtherWidths() {
        TransformerBlockImpl layer = (TransformerBlockImpl) SingleLayer.of(small().build(), DataType.FLOAT, 1);
        String message = Refusal.ofArgument(
                () -> layer.decode(Nd4j.zeros(DataType.FLOAT, 1, 1, 6), layer.newCache(1), SingleLayer.NO_WORKSPACES));
        assertTrue(message.startsWith("Expected a sequence [batch, positions, 8], got [1, 1, 6]"), message);
    }

    // --- dropout ---

    /** out - x of one training pass and of inference, with one of the two branches switched off. */
    private static INDArray[] branch(TransformerBlock block, String silenced, INDArray x) {
        Layer layer = SingleLayer.of(block, DataType.DOUBLE, 1);
        layer.getParam(silenced).assign(0);
        INDArray kept = SingleLayer.forward(layer, x, false).sub(x);
        INDArray dropped = SingleLayer.forward(layer, x, true).sub(x);
        return new INDArray[] {kept, dropped};
    }

    private static void assertShare(double expected, double actual, long draws) {
        // five standard deviations
        assertEquals(expected, actual, 5 * Math.sqrt(expected * (1 - expected) / draws));
    }

    @ParameterizedTest
    @CsvSource({"true, 0.1", "false, 0.1", "true, 0.6", "false, 0.6"})
    void unitsAreDroppedWithTheirProbability(boolean attention, double probability) {
        TransformerBlock block = attention
                ? small().residualDropout(probability).build()
                : small().feedForwardDropout(probability).build();
        INDArray[] branch = branch(
                block,
                attention ? TransformerBlock.DOWN_WEIGHT : TransformerBlock.OUT_WEIGHT,
                Nd4j.randn(DataType.DOUBLE, 500, 4, 8));
        double[] kept = branch[0].dup('c').data().asDouble();
        double[] dropped = branch[1].dup('c').data().asDouble();
        int zeros = 0;
        for (int i = 0; i < kept.length; i++) {
            if (Math.abs(dropped[i]) < 1e-13 * Math.abs(kept[i]) || dropped[i] == 0) {
                zeros++;
            } else {
                assertEquals(kept[i] / (1 - probability), dropped[i], 1e-9 * (1 + Math.abs(kept[i])));
            }
        }
        // what is kept is divided by the probability of keeping, so the expectation is that of inference
        assertShare(probability, (double) zeros / kept.length, kept.length);
    }

    @ParameterizedTest
    @CsvSource({"true, 0.2", "false, 0.2"})
    void pathDropoutDropsTheBranchOfAnExample(boolean attention, double probability) {
        int batch = 4000;
        INDArray[] branch = branch(
                small().pathDropout(probability).build(),
                attention ? TransformerBlock.DOWN_WEIGHT : TransformerBlock.OUT_WEIGHT,
                Nd4j.randn(DataType.DOUBLE, batch, 1, 8));
        double[][] kept = branch[0].reshape(batch, 8).toDoubleMatrix();
        double[][] dropped = branch[1].reshape(batch, 8).toDoubleMatrix();
        int examples = 0;
        for (int b = 0; b < batch; b++) {
            boolean gone = dropped[b][0] == 0;
            examples += gone ? 1 : 0;
            for (int i = 0; i < 8; i++) {
                assertEquals(
                        gone ? 0 : kept[b][i] / (1 - probability), dropped[b][i], 1e-9 * (1 + Math.abs(kept[b][i])));
            }
        }
        assertShare(probability, (double) examples / batch, batch);
    }

    @Test
    void branchesAreDroppedIndependently() {
        int batch = 4000;
        Layer layer = SingleLayer.of(small().pathDropout(0.4).build(), DataType.DOUBLE, 1);
        INDArray x = Nd4j.randn(DataType.DOUBLE, batch, 1, 8);
        double[] change =
                SingleLayer.forward(layer, x, true).sub(x).norm1(1, 2).data().asDouble();
        int both = 0;
        for (double each : change) {
            both += each == 0 ? 1 : 0;
        }
        assertShare(0.16, (double) both / batch, batch);
    }

    @Test
    void blocksDrawTheirOwnDropout() {
        Layer layer = SingleLayer.of(small().residualDropout(0.5).build(), DataType.DOUBLE, 1);
        INDArray x = Nd4j.randn(DataType.DOUBLE, 2, 4, 8);
        INDArray first = SingleLayer.forward(layer, x, true).dup();
        assertNotEquals(first, SingleLayer.forward(layer, x, true));
    }

    @Test
    void theSeedDecidesWhatIsDropped() {
        TransformerBlock.Builder builder =
                small().residualDropout(0.3).feedForwardDropout(0.3).pathDropout(0.3);
        builder.dropOut(0.7);
        Layer layer = SingleLayer.of(builder.build(), DataType.FLOAT, 1);
        INDArray x = Nd4j.randn(DataType.FLOAT, 4, 4, 8);
        INDArray[] out = new INDArray[2];
        INDArray[] gradient = new INDArray[2];
        for (int i = 0; i < 2; i++) {
            Nd4j.getRandom().setSeed(11);
            out[i] = SingleLayer.forward(layer, x, true).dup();
            gradient[i] = layer.backpropGradient(Nd4j.ones(DataType.FLOAT, 4, 4, 8), SingleLayer.NO_WORKSPACES)
                    .getSecond()
                    .dup();
        }
        assertEquals(out[0], out[1]);
        assertEquals(gradient[0], gradient[1]);
        assertNotEquals(out[0], SingleLayer.forward(layer, x, true));
        INDArray inference = SingleLayer.forward(layer, x, false).dup();
        assertEquals(inference, SingleLayer.forward(layer, x, false));
    }

    @Test
    void dropOutActsOnTheInputAndLeavesTheCallersArrayAlone() {
        TransformerBlock.Builder builder = small();
        builder.dropOut(0.6);
        Layer layer = SingleLayer.of(builder.build(), DataType.DOUBLE, 1);
        layer.getParam(TransformerBlock.OUT_WEIGHT).assign(0);
        layer.getParam(TransformerBlock.DOWN_WEIGHT).assign(0);
        INDArray x = Nd4j.ones(DataType.DOUBLE, 100, 4, 8);
        double[] out = SingleLayer.forward(layer, x, true).dup('c').data().asDouble();
        int zeros = 0;
        for (double each : out) {
            zeros += each == 0 ? 1 : 0;
            assertTrue(each == 0 || Math.abs(each - 1 / 0.6) < 1e-12, () -> "got " + each);
        }
        assertShare(0.4, (double) zeros / out.length, out.length);
        assertEquals(Nd4j.ones(DataType.DOUBLE, 100, 4, 8), x);
    }

    // --- the backward pass and its forward pass ---

    @Test
    void backwardNeedsATrainingForwardPass() {
        Layer layer = SingleLayer.of(small().build(), DataType.FLOAT, 1);
        INDArray x = Nd4j.randn(DataType.FLOAT, 2, 4, 8);
        INDArray epsilon = Nd4j.ones(DataType.FLOAT, 2, 4, 8);
        String start = "The backward pass needs the training forward pass of the same input before it";
        SingleLayer.forward(layer, x, false);
        String message = Refusal.ofState(() -> layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES));
        assertTrue(message.startsWith(start), message);
        // an inference pass in between
        SingleLayer.forward(layer, x, true);
        SingleLayer.forward(layer, x, false);
        assertTrue(Refusal.ofState(() -> layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES))
                .startsWith(start));
        // another input in between
        SingleLayer.forward(layer, x, true);
        layer.setInput(x.dup(), SingleLayer.NO_WORKSPACES);
        assertTrue(Refusal.ofState(() -> layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES))
                .startsWith(start));
        // each forward pass serves one backward pass
        SingleLayer.forward(layer, x, true);
        layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES);
        assertTrue(Refusal.ofState(() -> layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES))
                .startsWith(start));
    }

    @Test
    void gradientsAreWrittenNotAdded() {
        Layer layer = SingleLayer.of(small().build(), DataType.DOUBLE, 1);
        INDArray x = Nd4j.randn(DataType.DOUBLE, 2, 4, 8);
        INDArray epsilon = Nd4j.randn(DataType.DOUBLE, 2, 4, 8);
        INDArray before = epsilon.dup();
        SingleLayer.forward(layer, x, true);
        INDArray first = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES)
                .getFirst()
                .gradient()
                .dup();
        SingleLayer.forward(layer, x, true);
        INDArray second = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES)
                .getFirst()
                .gradient();
        assertEquals(first, second);
        assertEquals(before, epsilon, "the gradient from above changed");
    }

    // --- configuration ---

    @Test
    void parameters() {
        TransformerBlock block = new TransformerBlock.Builder(GRID, 4, 6)
                .nIn(16)
                .keyValueHeads(2)
                .build();
        assertEquals(
                List.of("Wqkv", "Wo", "W1", "W3", "W2", "attentionGain", "feedForwardGain"),
                block.initializer().paramKeys(block));
        assertEquals(
                List.of("Wqkv", "Wo", "W1", "W3", "W2"), block.initializer().weightKeys(block));
        assertEquals(
                16 * 32 + 16 * 16 + 3 * 16 * 6 + 2 * 16, block.initializer().numParams(block));
        Layer layer = SingleLayer.of(block, DataType.FLOAT, 1);
        assertEquals('f', layer.getParam(TransformerBlock.QKV_WEIGHT).ordering());
        assertEquals(32, layer.getParam(TransformerBlock.QKV_WEIGHT).columns());
        // weights lie in the flat vector as PyTorch's [out, in]
        assertEquals(
                layer.params().reshape(layer.params().length()).getDouble(1),
                layer.getParam(TransformerBlock.QKV_WEIGHT).getDouble(1, 0));
    }

    @Test
    void countsItsOperations() {
        TransformerBlock block = new TransformerBlock.Builder(GRID, 4, 6)
                .nIn(16)
                .keyValueHeads(2)
                .build();
        assertEquals(2.0 * 7 * (16 * 32 + 16 * 16 + 3 * 16 * 6) + 4 * 7 * 7 * 16, block.forwardOperations(7));
    }

    @Test
    void memoryReportCountsParameters() {
        TransformerBlock block = small().build();
        InputType type = InputType.recurrent(8, 4, RNNFormat.NWC);
        LayerMemoryReport report = block.getMemoryReport(type);
        assertEquals(block.initializer().numParams(block), report.getParameterSize());
    }

    @Test
    void widthComesFromTheInput() {
        TransformerBlock block = new TransformerBlock.Builder(GRID, 2, 6).build();
        InputType type = InputType.recurrent(16, -1, RNNFormat.NWC);
        block.setNIn(type, true);
        assertEquals(16, block.getNIn());
        assertEquals(16, block.getNOut());
        assertEquals(8, block.headWidth());
        assertEquals(type, block.getOutputType(0, type));
    }

    @Test
    void refusesWhatCannotWork() {
        assertEquals(
                "TransformerBlock needs a token grid: TokenGrid.of(height, width)",
                assertThrows(NullPointerException.class, () -> new TransformerBlock.Builder(null, 2, 6))
                        .getMessage());
        assertEquals(
                "The key/value heads must divide the heads, got 0 heads and 0 key/value heads",
                Refusal.ofArgument(() -> new TransformerBlock.Builder(GRID, 0, 6).build()));
        assertEquals(
                "The key/value heads must divide the heads, got 4 heads and 3 key/value heads",
                Refusal.ofArgument(() -> new TransformerBlock.Builder(GRID, 4, 6)
                        .keyValueHeads(3)
                        .build()));
        assertEquals(
                "There must be at least one key/value head, got 0", Refusal.ofArgument(() -> small().keyValueHeads(0)));
        assertEquals(
                "TransformerBlock needs a feedForwardWidth of at least 1, got 0; LlamaGen takes 8/3 of the width,"
                        + " rounded up to a multiple of 256",
                Refusal.ofArgument(() -> new TransformerBlock.Builder(GRID, 2, 0).build()));
        assertEquals(
                "There must be at least one condition token, got 0",
                Refusal.ofArgument(() -> small().conditionTokens(0)));
        assertEquals(
                "The base of the rotary frequencies must be above 0, got 0.0",
                Refusal.ofArgument(() -> small().rotaryBase(0)));
        assertEquals("The norms' epsilon must be above 0, got -1.0", Refusal.ofArgument(() -> small().epsilon(-1)));
        String probability = " is the probability of dropping, at least 0 and below 1, got ";
        assertEquals("residualDropout" + probability + "1.0", Refusal.ofArgument(() -> small().residualDropout(1)));
        assertEquals("feedForwardDropout" + probability + "-0.1", Refusal.ofArgument(() -> small().feedForwardDropout(
                        -0.1)));
        assertEquals("pathDropout" + probability + "NaN", Refusal.ofArgument(() -> small().pathDropout(Double.NaN)));
        assertEquals(
                "TransformerBlock: the width must be a multiple of 4 x heads (two-dimensional rotary positions turn"
                        + " pairs by row and by column), got width 12 and 2 heads",
                Refusal.ofArgument(() -> small().nIn(12).build()));
        assertEquals(
                "TransformerBlock \"b0\": the width must be a multiple of 4 x heads (two-dimensional rotary positions"
                        + " turn pairs by row and by column), got width 0 and 2 heads",
                Refusal.ofArgument(
                        () -> SingleLayer.of(small().nIn(0).name("b0").build(), DataType.FLOAT, 1)));
    }

    @Test
    void refusesInputTypesThatDoNotFit() {
        TransformerBlock block = small().name("b0").build();
        String message = Refusal.ofArgument(() -> block.setNIn(InputType.recurrent(8, 4, RNNFormat.NCW), false));
        assertTrue(
                message.startsWith("TransformerBlock \"b0\" works on sequences [batch, positions, width]"
                        + " (InputType.recurrent(width, length, RNNFormat.NWC)), got"),
                message);
        assertTrue(message.endsWith("Set the data format of the layer before it to RNNFormat.NWC"), message);
        assertEquals(
                message, Refusal.ofArgument(() -> block.getOutputType(0, InputType.recurrent(8, 4, RNNFormat.NCW))));
        assertEquals(
                "TransformerBlock \"b0\" is set up for width 8, but the layer before it gives 16. Leave nIn out or"
                        + " make them equal",
                Refusal.ofArgument(() -> block.setNIn(InputType.recurrent(16, 4, RNNFormat.NWC), false)));
        TransformerBlock unset = new TransformerBlock.Builder(GRID, 2, 6).build();
        message = Refusal.ofArgument(() -> unset.setNIn(InputType.recurrent(12, 4, RNNFormat.NWC), true));
        assertTrue(message.contains("got width 12 and 2 heads"), message);
    }

    @Test
    void refusesInputsThatDoNotFit() {
        Layer layer = SingleLayer.of(small().build(), DataType.FLOAT, 1);
        String message =
                Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.zeros(DataType.FLOAT, 2, 8, 4), false));
        assertTrue(message.startsWith("Expected a sequence [batch, positions, 8], got [2, 8, 4]"), message);
        assertEquals(
                "No patch side makes 3 patches of the 2 x 2 token grid (height x width); possible numbers of patches:"
                        + " [4, 1]",
                Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.zeros(DataType.FLOAT, 2, 3, 8), false)));
    }

    @Test
    void equalsAndJson() throws Exception {
        TransformerBlock block = full().build();
        assertEquals(block, block.clone());
        assertEquals(block.hashCode(), block.clone().hashCode());
        assertEquals(full().build(), (org.deeplearning4j.nn.conf.layers.Layer) block);
        String json = NeuralNetConfiguration.mapper().writeValueAsString(block);
        TransformerBlock read = (TransformerBlock)
                NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class);
        assertEquals(block, read);
        assertEquals(TokenGrid.of(4, 6), read.getGrid());
        assertEquals(4, read.getHeads());
        assertEquals(2, read.getKeyValueHeads());
        assertEquals(3, read.getConditionTokens());
        assertEquals(24, read.getFeedForwardWidth());
        assertEquals(500, read.getRotaryBase());
        assertEquals(1e-3, read.getEpsilon());
        assertEquals(0.1, read.getResidualDropout());
        assertEquals(0.2, read.getFeedForwardDropout());
        assertEquals(0.3, read.getPathDropout());
        List<TransformerBlock.Builder> others = List.of(
                new TransformerBlock.Builder(TokenGrid.of(6, 4), 4, 24),
                new TransformerBlock.Builder(TokenGrid.of(4, 6), 2, 24),
                new TransformerBlock.Builder(TokenGrid.of(4, 6), 4, 25));
        for (TransformerBlock.Builder other : others) {
            assertNotEquals(block, settings(other).build());
        }
        assertNotEquals(block, full().keyValueHeads(4).build());
        assertNotEquals(block, full().conditionTokens(1).build());
        assertNotEquals(block, full().rotaryBase(10000).build());
        assertNotEquals(block, full().epsilon(1e-5).build());
        assertNotEquals(block, full().residualDropout(0).build());
        assertNotEquals(block, full().feedForwardDropout(0).build());
        assertNotEquals(block, full().pathDropout(0).build());
        assertNotEquals(block, full().nIn(16).build());
    }

    private static TransformerBlock.Builder full() {
        return settings(new TransformerBlock.Builder(TokenGrid.of(4, 6), 4, 24));
    }

    private static TransformerBlock.Builder settings(TransformerBlock.Builder builder) {
        return builder.nIn(32)
                .keyValueHeads(2)
                .conditionTokens(3)
                .rotaryBase(500)
                .epsilon(1e-3)
                .residualDropout(0.1)
                .feedForwardDropout(0.2)
                .pathDropout(0.3);
    }
}
