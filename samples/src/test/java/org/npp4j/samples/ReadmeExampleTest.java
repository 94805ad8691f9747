package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.datasets.iterator.utilty.ListDataSetIterator;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.ZeroPadding1DLayer;
import org.deeplearning4j.nn.conf.layers.convolutional.Cropping1D;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.PatchCrossEntropy;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/** The example in the README compiles, runs and learns. */
class ReadmeExampleTest {
    private static final int BATCHES = 3;
    private static final int BATCH = 4;
    private static final int EPOCHS = 4;

    @Test
    void runsAndLearns() {
        DataSetIterator batches = batches();
        int epochs = EPOCHS;

        // The README's example is what stands between the two markers.
        // example
        TokenGrid grid = TokenGrid.of(8, 8); // 64 image tokens; text: TokenGrid.sequence(n)
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .updater(new Adam(2e-3))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder()
                        .nOut(64)
                        .inputLength(64)
                        .build())
                .layer(new ZeroPadding1DLayer(1, 0)) // zeros in front, the last dropped:
                .layer(new Cropping1D(0, 1)) // each position sees those before it
                .layer(new LSTM.Builder().nOut(128).build())
                .layer(new OutputLayer.Builder(new PatchCrossEntropy(grid)) // NPP
                        .nOut(256)
                        .activation(Activation.SOFTMAX)
                        .build())
                .inputPreProcessor(1, new PatchAverage(grid, 1)) // NPP
                .setInputType(InputType.recurrent(256, 64)) // a vocabulary of 256
                .build());
        network.init();
        new StageScheduler(PatchStages.ofEpochs(epochs, 0.5, 2)).attachTo(network); // NPP
        network.fit(batches, epochs);
        // end

        assertEquals(EPOCHS * BATCHES, network.getIterationCount());
        assertEquals(1, StageScheduler.patchAveragesOf(network).get(0).getPatchSide());
        assertTrue(network.score() < Math.log(256) - 0.01, "score " + network.score());
    }

    @Test
    void isWhatTheReadmeShows() throws IOException {
        List<String> readme = Files.readAllLines(Path.of("..", "README.md"));
        List<String> shown = between(readme, "<!-- example -->", "<!-- end of example -->");
        assertEquals("```java", shown.get(0));
        assertEquals("```", shown.get(shown.size() - 1));
        List<String> source = Files.readAllLines(Path.of("src/test/java/org/npp4j/samples/ReadmeExampleTest.java"));
        List<String> run = new ArrayList<>();
        for (String line : between(source, "        // example", "        // end")) {
            run.add(line.isEmpty() ? line : line.substring(8));
        }
        assertFalse(run.isEmpty());
        assertEquals(run, shown.subList(1, shown.size() - 1));
    }

    private static List<String> between(List<String> lines, String start, String end) {
        int from = lines.indexOf(start);
        int to = lines.indexOf(end);
        assertTrue(from >= 0 && to > from, "No " + start + " .. " + end);
        return lines.subList(from + 1, to);
    }

    /** Token ids [B, 64] as features and labels, from few codes so that there is something to learn at once. */
    private static DataSetIterator batches() {
        Random random = new Random(1);
        List<DataSet> list = new ArrayList<>();
        for (int i = 0; i < BATCHES; i++) {
            int[][] ids = new int[BATCH][];
            for (int b = 0; b < BATCH; b++) {
                ids[b] = random.ints(64, 0, 8).toArray();
            }
            INDArray tokens = Nd4j.createFromArray(ids);
            list.add(new DataSet(tokens, tokens.dup()));
        }
        return new ListDataSetIterator<>(list, 1);
    }
}
