package org.npp4j.losses.impl;

/** The losses of a minibatch in nats: of all of it, of each row and of each example. */
public final class PatchLosses {
    private final PatchTargets targets;
    private final double[] nats;

    PatchLosses(PatchTargets targets, double[] nats) {
        this.targets = targets;
        this.nats = nats;
    }

    /** {@return the sum over all tokens that count, in nats} */
    public double sum() {
        double sum = 0;
        for (int row = 0; row < targets.rows(); row++) {
            sum += sumOfRow(row);
        }
        return sum;
    }

    /** {@return the mean over all tokens that count, in nats per token; 0 if none does} */
    public double mean() {
        return targets.counted() == 0 ? 0 : sum() / targets.counted();
    }

    /** {@return for each row the mean over its tokens that count, in nats per token; 0 if none does} */
    public double[] ofRows() {
        double[] means = new double[targets.rows()];
        for (int row = 0; row < means.length; row++) {
            int counted = targets.counted(row);
            means[row] = counted == 0 ? 0 : sumOfRow(row) / counted;
        }
        return means;
    }

    /** {@return for each example the mean over its tokens that count, in nats per token; 0 if none does} */
    public double[] ofExamples() {
        double[] means = new double[targets.batch()];
        for (int s = 0; s < means.length; s++) {
            long counted = 0;
            double sum = 0;
            for (int t = 0; t < targets.positions(); t++) {
                int row = targets.row(s, t);
                counted += targets.counted(row);
                sum += sumOfRow(row);
            }
            means[s] = counted == 0 ? 0 : sum / counted;
        }
        return means;
    }

    private double sumOfRow(int row) {
        double sum = 0;
        for (int i = targets.firstTarget(row); i < targets.firstTarget(row + 1); i++) {
            sum += targets.countOfTarget(i) * nats[i];
        }
        return sum;
    }
}
