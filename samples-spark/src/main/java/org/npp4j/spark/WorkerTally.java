package org.npp4j.spark;

import java.io.Serializable;
import org.apache.spark.SparkContext;
import org.apache.spark.util.DoubleAccumulator;

/** What the workers of a step report beside their gradients. Read by the driver. */
final class WorkerTally implements Serializable {
    private static final long serialVersionUID = 1L;

    private final DoubleAccumulator images;
    private final DoubleAccumulator weightedLoss;

    WorkerTally(SparkContext context) {
        images = context.doubleAccumulator("images");
        weightedLoss = context.doubleAccumulator("loss x images");
    }

    void reset() {
        images.reset();
        weightedLoss.reset();
    }

    /** From a worker. A task that is repeated counts twice, which means hardly change. */
    void add(long count, double loss) {
        images.add((double) count);
        weightedLoss.add(count * loss);
    }

    double loss() {
        return weightedLoss.sum() / images.sum();
    }
}
