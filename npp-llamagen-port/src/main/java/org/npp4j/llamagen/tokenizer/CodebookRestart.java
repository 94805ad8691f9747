package org.npp4j.llamagen.tokenizer;

import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Moves codes that are hardly chosen to latents of the present batch, so that the whole codebook learns. Every
 * {@value #PERIOD} iterations a code moves whose share of the choices, averaged over about the last {@value #MEMORY}
 * iterations, is below {@value #LEAST} of an equal share. At the end of training nothing moves.
 *
 * <p>What it remembers is {@link #state()}: who resumes a training keeps it with the checkpoint and gives it to {@link
 * #restore}, else the counts begin anew and other codes move.
 *
 * <p>Source: Dhariwal et al., "Jukebox" (arXiv 2005.00341), section 3.1, random restarts.
 */
public final class CodebookRestart extends BaseTrainingListener {
    private static final int PERIOD = 10;
    private static final int MEMORY = 25;
    private static final double LEAST = 0.05;

    private final int lastIteration;
    private final long seed;
    private double[] choices;
    private int seen;
    private long restarted;

    /**
     * A listener.
     *
     * @param lastIteration no code moves after it, so that all can settle
     * @param seed decides which latents are taken
     */
    public CodebookRestart(int lastIteration, long seed) {
        this.lastIteration = lastIteration;
        this.seed = seed;
    }

    /** {@return how many codes were moved so far} */
    public long restarted() {
        return restarted;
    }

    /**
     * What a restart decides from.
     *
     * @param choices of each code, averaged; null before the first iteration
     * @param seen iterations
     * @param restarted codes that were moved so far
     */
    public record State(
            @JsonProperty("choices") double[] choices,
            @JsonProperty("seen") int seen,
            @JsonProperty("restarted") long restarted) {
        /**
         * Copies the choices.
         *
         * @param choices of each code, or null
         * @param seen iterations
         * @param restarted codes that were moved
         */
        public State {
            choices = choices == null ? null : choices.clone();
        }

        /** {@return a copy of the choices of each code; null before the first iteration} */
        @Override
        public double[] choices() {
            return choices == null ? null : choices.clone();
        }
    }

    /** {@return what it remembers, to be kept with a checkpoint} */
    public State state() {
        return new State(choices, seen, restarted);
    }

    /**
     * Goes on where another listener was. The next iteration refuses choices of another number of codes.
     *
     * @param state of a listener after the iteration that the network is at
     */
    public void restore(State state) {
        choices = state.choices();
        seen = state.seen();
        restarted = state.restarted();
    }

    @Override
    public void iterationDone(Model model, int iteration, int epoch) {
        if (iteration > lastIteration || !(model instanceof ComputationGraph network)) {
            return;
        }
        VectorQuantizerImpl quantizer = VqTraining.quantizer(network);
        INDArray codes = quantizer.getParam(VectorQuantizer.CODES);
        if (choices == null) {
            choices = new double[(int) codes.size(0)];
        }
        if (choices.length != codes.size(0)) {
            throw new IllegalStateException("The restored state is of " + choices.length + " codes, the network has "
                    + codes.size(0) + ". Restore the state that was saved with it");
        }
        for (int v = 0; v < choices.length; v++) {
            choices[v] *= 1 - 1.0 / MEMORY;
        }
        for (int code : quantizer.chosen()) {
            choices[code]++;
        }
        if (++seen % PERIOD == 0) {
            restart(quantizer, codes, new Random(seed * 0x9e3779b97f4a7c15L + iteration));
        }
    }

    private void restart(VectorQuantizerImpl quantizer, INDArray codes, Random random) {
        double total = 0;
        for (double count : choices) {
            total += count;
        }
        double equal = total / choices.length;
        int values = (int) codes.size(1);
        int rows = quantizer.chosen().length;
        for (int v = 0; v < choices.length; v++) {
            if (choices[v] < LEAST * equal) {
                int row = random.nextInt(rows);
                double[] latent = new double[values];
                System.arraycopy(quantizer.latents(), row * values, latent, 0, values);
                codes.getRow(v).assign(Nd4j.createFromArray(latent).castTo(codes.dataType()));
                choices[v] = equal;
                restarted++;
            }
        }
    }
}
