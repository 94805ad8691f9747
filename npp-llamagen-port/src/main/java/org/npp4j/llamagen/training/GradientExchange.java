package org.npp4j.llamagen.training;

import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Where the threads of several workers meet, each with the gradient of its share of a batch, and leave with that of the whole
 * batch. All replicas then make the same move: that of one network with the whole batch, up to rounding.
 *
 * <p>With n workers, worker w's gradient is that of its B_w images times b_w / B_w, where b_w is the size by which its
 * updater divides ({@link GradientAccumulation}). It leaves with the sum over all images times b_w / B.
 */
final class GradientExchange {
    private final Worker[] workers;
    private int arrived;
    private long round;
    private boolean broken;
    private volatile double loss = Double.NaN;

    GradientExchange(int count, ToDoubleFunction<Model> lossOf) {
        workers = new Worker[count];
        for (int i = 0; i < count; i++) {
            workers[i] = new Worker(lossOf);
        }
    }

    /** {@return what adds up the parts of a worker's share} */
    GradientAccumulation accumulation(int worker) {
        return workers[worker].accumulation;
    }

    /** {@return the first listeners of a worker's network} */
    List<TrainingListener> listeners(int worker) {
        return List.of(workers[worker].accumulation, workers[worker]);
    }

    /** {@return the mean loss of the whole batch} */
    double loss() {
        return loss;
    }

    /** A worker has failed: the others must not wait for it. */
    synchronized void fail() {
        broken = true;
        notifyAll();
    }

    /** Before workers start, perhaps after some have failed. */
    synchronized void begin() {
        broken = false;
        arrived = 0;
    }

    private synchronized void meet() {
        long mine = round;
        arrived++;
        if (arrived == workers.length) {
            exchange();
            arrived = 0;
            round++;
            notifyAll();
            return;
        }
        while (mine == round && !broken) {
            try {
                wait();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("Interrupted while other workers computed their gradients", e);
            }
        }
        if (mine == round) {
            throw new IllegalStateException("Another worker has failed");
        }
    }

    private void exchange() {
        long images = 0;
        double weightedLoss = 0;
        double weightedScore = 0;
        for (Worker worker : workers) {
            long share = worker.accumulation.examples();
            images += share;
            weightedLoss += share * worker.accumulation.loss();
            weightedScore += share * worker.network.score();
        }
        loss = weightedLoss / images;
        // of equal shares the mean is what is wanted
        boolean equal = Arrays.stream(workers).allMatch(worker -> worker.isLike(workers[0]));
        if (!equal) {
            for (Worker worker : workers) {
                worker.gradient().muli(worker.accumulation.examples() / (double) worker.network.batchSize());
            }
        }
        // Deeplearning4j's own, between devices too
        Nd4j.averageAndPropagate(
                null, Arrays.stream(workers).map(Worker::gradient).toList());
        for (Worker worker : workers) {
            if (!equal) {
                worker.gradient().muli(workers.length * worker.network.batchSize() / (double) images);
            }
            worker.network.setScore(weightedScore / images);
        }
    }

    private final class Worker extends BaseTrainingListener {
        private final GradientAccumulation accumulation;
        private ComputationGraph network;

        Worker(ToDoubleFunction<Model> lossOf) {
            accumulation = new GradientAccumulation(lossOf);
        }

        @Override
        public void onGradientCalculation(Model model) {
            network = (ComputationGraph) model;
            meet();
        }

        private INDArray gradient() {
            return network.gradient().gradient();
        }

        private boolean isLike(Worker other) {
            return accumulation.examples() == other.accumulation.examples()
                    && network.batchSize() == other.network.batchSize();
        }
    }
}
