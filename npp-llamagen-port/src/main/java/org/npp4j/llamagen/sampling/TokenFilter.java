package org.npp4j.llamagen.sampling;

import java.util.SplittableRandom;

/**
 * Which tokens may be drawn, and how likely each is: softmax(logits / temperature), cut to the most likely tokens.
 *
 * <p>Takes time in proportion to the vocabulary: the tokens are partitioned around the cut, never sorted.
 *
 * @param temperature above 0
 * @param topK at least 1, or 0 for all tokens
 * @param topP in (0, 1]
 */
record TokenFilter(double temperature, int topK, double topP) {
    /** As published: a temperature below is that of the most likely token alone. */
    private static final double COLDEST = 1e-5;

    TokenFilter {
        if (!(temperature > 0 && temperature < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The temperature must be a finite number above 0, got " + temperature
                    + "; use greedy() for the most likely token");
        }
        if (topK < 0) {
            throw new IllegalArgumentException("topK must be at least 1, or 0 for all tokens, got " + topK);
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("topP must be above 0 and at most 1, got " + topP);
        }
    }

    /**
     * The tokens' probabilities up to a common factor; 0 for those that are cut.
     *
     * @param logits [V]
     * @return [V]
     * @throws IllegalArgumentException if there are no logits, one is not a number, or all are negative infinity
     */
    double[] weights(float[] logits) {
        Buffers buffers = new Buffers(logits.length);
        weigh(logits, buffers);
        return buffers.weights;
    }

    /** What a thread needs for one draw after the other. */
    private static final class Buffers {
        private static final ThreadLocal<Buffers> OF_THREAD = ThreadLocal.withInitial(() -> new Buffers(0));

        private final double[] weights;
        private final double[] parted;

        Buffers(int size) {
            weights = new double[size];
            parted = new double[size];
        }

        static Buffers of(int size) {
            Buffers buffers = OF_THREAD.get();
            if (buffers.weights.length != size) {
                buffers = new Buffers(size);
                OF_THREAD.set(buffers);
            }
            return buffers;
        }
    }

    private void weigh(float[] logits, Buffers buffers) {
        double max = max(logits);
        double least = topK > 0 && topK < logits.length ? leastOfTop(logits, buffers.parted) : Double.NEGATIVE_INFINITY;
        double scale = 1 / Math.max(temperature, COLDEST);
        double[] weights = buffers.weights;
        for (int i = 0; i < weights.length; i++) {
            weights[i] = logits[i] < least ? 0 : Math.exp((logits[i] - max) * scale);
        }
        if (topP < 1) {
            cutNucleus(weights, buffers.parted);
        }
    }

    private double leastOfTop(float[] logits, double[] parted) {
        for (int i = 0; i < logits.length; i++) {
            parted[i] = logits[i];
        }
        return largestBeyond(topK - 0.5, parted, logits.length, false);
    }

    /** A sampler that draws what is left by the filter. */
    TokenSampler sampler(SplittableRandom random) {
        return logits -> {
            Buffers buffers = Buffers.of(logits.length);
            weigh(logits, buffers);
            return draw(buffers.weights, random);
        };
    }

    private static int draw(double[] weights, SplittableRandom random) {
        double rest = random.nextDouble() * sum(weights);
        int last = 0;
        for (int i = 0; i < weights.length; i++) {
            if (weights[i] > 0) {
                last = i;
                rest -= weights[i];
                if (rest < 0) {
                    return i;
                }
            }
        }
        return last;
    }

    /** A network that has diverged must not pass for one that likes token 0. Negative infinity means "never". */
    static double max(float[] logits) {
        if (logits.length == 0) {
            throw new IllegalArgumentException("There are no logits to choose from");
        }
        float max = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < logits.length; i++) {
            if (!(logits[i] < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "The logit of token " + i + " is " + logits[i] + ": the network has diverged");
            }
            max = Math.max(max, logits[i]);
        }
        if (max == Float.NEGATIVE_INFINITY) {
            throw new IllegalArgumentException("Every logit is -Infinity: no token may be chosen");
        }
        return max;
    }

    /** Keeps the largest weights until their sum exceeds topP of all; of equal ones at the end, the first. */
    private void cutNucleus(double[] weights, double[] parted) {
        double mass = topP * sum(weights);
        int above = 0;
        for (double weight : weights) {
            if (weight > 0) {
                parted[above++] = weight;
            }
        }
        double smallest = largestBeyond(mass, parted, above, true);
        double before = 0;
        for (double weight : weights) {
            before += weight > smallest ? weight : 0;
        }
        for (int i = 0; i < weights.length; i++) {
            if (weights[i] == smallest && before <= mass) {
                before += smallest;
            } else if (weights[i] <= smallest) {
                weights[i] = 0;
            }
        }
    }

    /**
     * Counts or adds up values from the largest down; the value at which that exceeds a limit, the least if it never does.
     *
     * @param limit of the sum, or of the count
     * @param v whose first values count, at least one; their order is lost
     * @param end how many
     * @param summing whether to add up the values, or to count them
     */
    private static double largestBeyond(double limit, double[] v, int end, boolean summing) {
        int from = 0;
        int to = end;
        double before = 0; // of all values above those in from .. to - 1
        while (true) {
            double pivot = medianOfThree(v[from], v[from + to >>> 1], v[to - 1]);
            // larger | equal | smaller, in from .. equal - 1 | equal .. smaller - 1 | smaller .. to - 1
            int equal = from;
            int smaller = to;
            double larger = 0;
            for (int i = from; i < smaller; ) {
                double value = v[i];
                if (value > pivot) {
                    larger += summing ? value : 1;
                    v[i++] = v[equal];
                    v[equal++] = value;
                } else if (value < pivot) {
                    v[i] = v[--smaller];
                    v[smaller] = value;
                } else {
                    i++;
                }
            }
            double throughEqual = before + larger + (smaller - equal) * (summing ? pivot : 1);
            if (before + larger > limit) {
                to = equal;
            } else if (throughEqual > limit || smaller == to) {
                return pivot;
            } else {
                before = throughEqual;
                from = smaller;
            }
        }
    }

    private static double medianOfThree(double a, double b, double c) {
        return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
    }

    static double sum(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum;
    }
}
