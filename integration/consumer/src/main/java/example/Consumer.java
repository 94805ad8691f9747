package example;

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
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.PatchCrossEntropy;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/** Trains a next-token LSTM with Next Patch Prediction, with the installed modules, as any project would. */
final class Consumer {
    private static final int SIDE = 4;
    private static final int TOKENS = SIDE * SIDE;
    private static final int VOCABULARY = 6;
    private static final int BATCHES = 4;
    private static final int BATCH = 8;
    private static final int EPOCHS = 6;

    private Consumer() {}

    /** Exits with 1 if the loss of a stage is not finite or did not fall. */
    public static void main(String[] args) {
        String fault = fault(train());
        if (fault != null) {
            System.err.println(fault);
            System.exit(1);
        }
    }

    /** {@return nats per token before and after each stage, at the stage's p: [stage][2]} */
    static double[][] train() {
        TokenGrid grid = TokenGrid.of(SIDE, SIDE);
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(1)
                .updater(new Adam(1e-2))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder().nOut(8).inputLength(TOKENS).build())
                .layer(new ZeroPadding1DLayer(1, 0))
                .layer(new Cropping1D(0, 1))
                .layer(new LSTM.Builder().nOut(16).build())
                .layer(new OutputLayer.Builder(new PatchCrossEntropy(grid))
                        .nOut(VOCABULARY)
                        .activation(Activation.SOFTMAX)
                        .build())
                .inputPreProcessor(1, new PatchAverage(grid, 1))
                .setInputType(InputType.recurrent(VOCABULARY, TOKENS))
                .build());
        network.init();
        PatchStages stages = PatchStages.ofEpochs(EPOCHS, 0.5, 2);
        StageScheduler scheduler = new StageScheduler(stages).attachTo(network);

        List<DataSet> batches = batches();
        double[][] losses = new double[stages.stages().size()][];
        for (int i = 0; i < losses.length; i++) {
            PatchStages.Stage stage = stages.stages().get(i);
            scheduler.attachTo(network); // sets p now; fit would do so when its first epoch starts
            double before = loss(network, batches);
            network.fit(new ListDataSetIterator<>(batches, 1), stage.length());
            double after = loss(network, batches); // p changes only when the next epoch starts
            losses[i] = new double[] {before, after};
            System.out.printf(
                    "p = %d, epochs %d to %d: loss %.4f -> %.4f%n",
                    stage.patchSide(), stage.start(), stage.end(), before, after);
        }
        return losses;
    }

    /** What is wrong with [stage][before, after], or null. */
    static String fault(double[][] losses) {
        for (double[] stage : losses) {
            if (!Double.isFinite(stage[0]) || !Double.isFinite(stage[1])) {
                return "A loss is not finite: " + stage[0] + " -> " + stage[1];
            }
            if (stage[1] >= stage[0]) {
                return "The loss did not fall: " + stage[0] + " -> " + stage[1];
            }
        }
        return null;
    }

    private static double loss(MultiLayerNetwork network, List<DataSet> batches) {
        return batches.stream().mapToDouble(network::score).average().orElseThrow();
    }

    /** Each token is the one before it plus one, or at times another: there is something to learn. */
    private static List<DataSet> batches() {
        Random random = new Random(2);
        List<DataSet> batches = new ArrayList<>();
        for (int i = 0; i < BATCHES; i++) {
            int[][] ids = new int[BATCH][TOKENS];
            for (int[] row : ids) {
                for (int n = 1; n < TOKENS; n++) {
                    row[n] = random.nextInt(4) == 0 ? random.nextInt(VOCABULARY) : (row[n - 1] + 1) % VOCABULARY;
                }
            }
            INDArray tokens = Nd4j.createFromArray(ids);
            batches.add(new DataSet(tokens, tokens.dup()));
        }
        return batches;
    }
}
