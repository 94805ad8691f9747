package org.npp4j.samples;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.deeplearning4j.datasets.iterator.utilty.ListDataSetIterator;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.nd4j.linalg.dataset.DataSet;
import org.npp4j.schedule.PatchStages;

/** Trains a network before and after NPP was added on the same data and prints what each stage cost and reached. */
final class NtpAgainstNpp {
    private final List<DataSet> train;
    private final DataSet test;
    private final PrintWriter out;

    /**
     * A comparison.
     *
     * @param train batches in the order of every epoch
     * @param test one batch to test on
     * @param out receives the table
     */
    NtpAgainstNpp(List<DataSet> train, DataSet test, PrintWriter out) {
        this.train = train;
        this.test = test;
        this.out = out;
    }

    /**
     * What a training cost and reached.
     *
     * @param seconds of all stages
     * @param testLoss nats per token at p = 1 on the test batch
     */
    record Result(double seconds, double testLoss) {}

    /**
     * Trains both.
     *
     * @param stock the stock network
     * @param npp the same with NPP, its scheduler attached
     * @param stages its stages
     */
    void run(MultiLayerNetwork stock, MultiLayerNetwork npp, PatchStages stages) {
        PatchStages ntpStages = PatchStages.epochs().stage(1, stages.end()).build();
        // RnnOutputLayer sums the score over the positions, the patch losses give the mean.
        double positions = test.getFeatures().size(1);
        // What is slow for the first time only is not NTP's to pay.
        stock.clone().fit(train.get(0));
        npp.clone().fit(train.get(0));
        out.println("      patch side  epochs   seconds  nats per token (training)");
        Result before = train("NTP", stock, ntpStages, 1 / positions);
        Result after = train("NPP", npp, stages, 1);
        out.printf(
                Locale.ROOT,
                "%nNats per token on new data: NTP %.3f, NPP %.3f. NPP took %.2f of the time.%n",
                before.testLoss(),
                after.testLoss(),
                after.seconds() / before.seconds());
        out.flush();
    }

    private Result train(String name, MultiLayerNetwork network, PatchStages stages, double scorePerToken) {
        EpochLoss loss = new EpochLoss();
        network.addListeners(loss);
        double total = 0;
        for (PatchStages.Stage stage : stages.stages()) {
            long start = System.nanoTime();
            network.fit(new ListDataSetIterator<>(train, 1), stage.length());
            double seconds = (System.nanoTime() - start) / 1e9;
            total += seconds;
            out.printf(
                    Locale.ROOT,
                    "%-6s%10d  %6d  %8.1f  %9.3f%n",
                    name,
                    stage.patchSide(),
                    stage.length(),
                    seconds,
                    loss.mean() * scorePerToken);
            out.flush();
        }
        return new Result(total, network.score(test) * scorePerToken);
    }

    /** The mean score over the iterations of the last epoch. */
    private static final class EpochLoss extends BaseTrainingListener {
        private final List<Double> scores = new ArrayList<>();

        @Override
        public void onEpochStart(Model model) {
            scores.clear();
        }

        @Override
        public void iterationDone(Model model, int iteration, int epoch) {
            scores.add(model.score());
        }

        double mean() {
            return scores.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
        }
    }
}
