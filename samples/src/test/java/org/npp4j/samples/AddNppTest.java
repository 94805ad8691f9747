package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.datasets.iterator.utilty.ListDataSetIterator;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/** The networks of both examples: what they are before and after NPP. */
class AddNppTest {
    private static final TokenGrid GRID = TokenGrid.of(4, 4);
    private static final int LENGTH = 16;
    private static final int VOCABULARY = 7;
    private static final int BATCH = 3;
    private static final long SEED = 5;
    private static final PatchStages NTP = PatchStages.epochs().stage(1, 2).build();

    /** Both examples with their patch grids. */
    private enum Example {
        IMAGE(GRID),
        TEXT(TokenGrid.sequence(LENGTH));

        final TokenGrid grid;

        Example(TokenGrid grid) {
            this.grid = grid;
        }

        MultiLayerNetwork stock() {
            return this == IMAGE
                    ? AddNppToYourModel.stock(VOCABULARY, GRID, SEED)
                    : AddNppToYourTextModel.stock(VOCABULARY, LENGTH, SEED);
        }

        MultiLayerNetwork withNpp(PatchStages stages) {
            return this == IMAGE
                    ? AddNppToYourModel.withNpp(VOCABULARY, GRID, SEED, stages)
                    : AddNppToYourTextModel.withNpp(VOCABULARY, LENGTH, SEED, stages);
        }

        /** [B, V, K] of either kind of output layer. */
        INDArray probabilities(MultiLayerNetwork network, INDArray ids) {
            INDArray out = network.output(ids);
            if (out.rank() == 3) {
                return out;
            }
            long positions = out.size(0) / ids.size(0);
            return out.dup('c').reshape('c', positions, ids.size(0), VOCABULARY).permute(1, 2, 0); // rows are k x B + b
        }
    }

    @Test
    void parametersAreTheSame() {
        for (Example example : Example.values()) {
            MultiLayerNetwork stock = example.stock();
            MultiLayerNetwork npp = example.withNpp(PatchStages.ofEpochs(2, 0.5, 2));
            assertEquals(stock.numParams(), npp.numParams());
            assertEquals(stock.params(), npp.params());
        }
    }

    @Test
    void nextTokenFormIsTheStockNetwork() {
        for (Example example : Example.values()) {
            MultiLayerNetwork stock = example.stock();
            MultiLayerNetwork ntp = example.withNpp(NTP);
            DataSet batch = batch(1);
            assertSameOutput(example, stock, ntp, batch, 1e-6);
            // RnnOutputLayer sums over the positions.
            assertEquals(stock.score(batch) / LENGTH, ntp.score(batch), 1e-5);
            INDArray gradient = gradient(stock, batch).div(LENGTH);
            assertTrue(distance(gradient, gradient(ntp, batch))
                    < 1e-5 * gradient.amaxNumber().doubleValue());
            // Adam does not mind the factor.
            for (int step = 0; step < 3; step++) {
                stock.fit(batch);
                ntp.fit(batch);
            }
            assertSameOutput(example, stock, ntp, batch, 1e-4);
        }
    }

    private static void assertSameOutput(
            Example example, MultiLayerNetwork stock, MultiLayerNetwork ntp, DataSet batch, double tolerance) {
        INDArray expected = example.probabilities(stock, batch.getFeatures());
        INDArray actual = example.probabilities(ntp, batch.getFeatures());
        assertEquals(0, distance(expected, actual), tolerance, example.name());
    }

    private static INDArray gradient(MultiLayerNetwork network, DataSet batch) {
        network.setInput(batch.getFeatures());
        network.setLabels(batch.getLabels());
        network.computeGradientAndScore();
        return network.gradient().gradient().dup();
    }

    @Test
    void labelsAreIdsOrOneHot() {
        for (Example example : Example.values()) {
            MultiLayerNetwork npp = example.withNpp(PatchStages.ofEpochs(2, 0.5, 2));
            DataSet batch = batch(2);
            DataSet ids = new DataSet(batch.getFeatures(), batch.getFeatures().dup());
            assertEquals(npp.score(batch), npp.score(ids), 1e-6);
        }
    }

    /** Another token in patch k changes no output up to position k, and does change a later one. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void noTargetIsSeenByItsOwnPrediction(int patchSide) {
        for (Example example : Example.values()) {
            MultiLayerNetwork npp =
                    example.withNpp(PatchStages.epochs().stage(patchSide, 1).build());
            int[] patchOfToken = example.grid.patchOfToken(patchSide);
            int patches = example.grid.ofPatches(patchSide).tokens();
            INDArray ids = batch(3).getFeatures();
            INDArray before = example.probabilities(npp, ids);
            assertEquals(patches, before.size(2));
            for (int token = 0; token < LENGTH; token++) {
                INDArray changed = ids.dup();
                changed.putScalar(0, token, (ids.getInt(0, token) + 1) % VOCABULARY);
                INDArray after = example.probabilities(npp, changed);
                for (int position = 0; position < patches; position++) {
                    String where = example + ", p = " + patchSide + ", token " + token + ", position " + position;
                    double difference = distance(position(before, position), position(after, position));
                    if (position <= patchOfToken[token]) {
                        assertEquals(0, difference, where);
                    } else if (position == patchOfToken[token] + 1) {
                        assertNotEquals(0, difference, where);
                    }
                }
            }
        }
    }

    @Test
    void stagesAreFollowed() {
        for (Example example : Example.values()) {
            MultiLayerNetwork npp = example.withNpp(PatchStages.ofEpochs(2, 0.5, 2));
            PatchAverage average = StageScheduler.patchAveragesOf(npp).get(0);
            assertEquals(2, average.getPatchSide());
            npp.fit(batches(), 1);
            assertEquals(2, average.getPatchSide());
            npp.fit(batches(), 1);
            assertEquals(1, average.getPatchSide());
        }
    }

    /** Without the lines marked NPP, and those they replace, both methods of an example are the same. */
    @Test
    void onlyTheMarkedLinesDiffer() throws IOException {
        for (String name : List.of("AddNppToYourModel", "AddNppToYourTextModel")) {
            String source =
                    Files.readString(Path.of("src/main/java/org/npp4j/samples").resolve(name + ".java"));
            List<String> stock = body(source, " stock(");
            List<String> npp = body(source, " withNpp(");
            long marked = npp.stream().filter(line -> line.endsWith("// NPP")).count();
            assertTrue(marked >= 3 && marked <= 10, name + " has " + marked);
            assertEquals(
                    stock.stream()
                            .filter(line -> !line.contains("new RnnOutputLayer"))
                            .toList(),
                    npp.stream().filter(line -> !line.endsWith("// NPP")).toList(),
                    name);
        }
    }

    /** The lines of a method between its head and the return. */
    private static List<String> body(String source, String head) {
        int start = source.indexOf("{\n", source.indexOf(head)) + 2;
        return source.substring(start, source.indexOf("return network;", start))
                .lines()
                .toList();
    }

    private static DataSetIterator batches() {
        return new ListDataSetIterator<>(List.of(batch(8), batch(9)), 1);
    }

    private static DataSet batch(long seed) {
        Random random = new Random(seed);
        int[][] ids = new int[BATCH][];
        for (int b = 0; b < BATCH; b++) {
            ids[b] = random.ints(LENGTH, 0, VOCABULARY).toArray();
        }
        return TokenBatches.one(ids, VOCABULARY);
    }

    private static INDArray position(INDArray probabilities, int position) {
        return probabilities.tensorAlongDimension(position, 0, 1);
    }

    private static double distance(INDArray a, INDArray b) {
        return a.sub(b).amaxNumber().doubleValue();
    }
}
