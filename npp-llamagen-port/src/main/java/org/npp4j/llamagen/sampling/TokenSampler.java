package org.npp4j.llamagen.sampling;

import java.util.Arrays;
import java.util.SplittableRandom;

/** Chooses one token from its logits. */
@FunctionalInterface
public interface TokenSampler {
    /**
     * The next token.
     *
     * @param logits [V]; may be overwritten
     * @return its id
     * @throws IllegalArgumentException if there are no logits, or one is not a number
     */
    int sample(float[] logits);

    /** {@return the sampler that takes the token with the largest logit, the first of several} */
    static TokenSampler greedy() {
        return logits -> {
            requireNumbers(logits);
            int best = 0;
            for (int i = 1; i < logits.length; i++) {
                if (logits[i] > logits[best]) {
                    best = i;
                }
            }
            return best;
        };
    }

    /**
     * Draws from softmax(logits / temperature), cut to the most likely tokens: first to the {@code topK} largest (all that
     * are as large as the last of them stay), then to the smallest set that holds more than {@code topP} of the
     * probability (the token that crosses it stays).
     *
     * @param temperature above 0
     * @param topK at least 1, or 0 for all tokens
     * @param topP in (0, 1]
     * @param seed of the draws
     * @return a sampler with a random state of its own
     * @throws IllegalArgumentException if a setting is out of range
     */
    static TokenSampler random(double temperature, int topK, double topP, long seed) {
        requireSettings(temperature, topK, topP);
        SplittableRandom random = new SplittableRandom(seed);
        return logits -> draw(filteredProbabilities(logits, temperature, topK, topP), random);
    }

    /**
     * The probabilities that {@link #random} draws from.
     *
     * @param logits [V]
     * @param temperature above 0
     * @param topK at least 1, or 0 for all tokens
     * @param topP in (0, 1]
     * @return [V], sum 1
     * @throws IllegalArgumentException if a setting is out of range, there are no logits, or one is not a number
     */
    static double[] filteredProbabilities(float[] logits, double temperature, int topK, double topP) {
        requireSettings(temperature, topK, topP);
        requireNumbers(logits);
        int vocabulary = logits.length;
        double[] scaled = new double[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            scaled[i] = logits[i] / Math.max(temperature, 1e-5);
        }
        if (topK > 0 && topK < vocabulary) {
            double[] ascending = scaled.clone();
            Arrays.sort(ascending);
            double smallest = ascending[vocabulary - topK];
            for (int i = 0; i < vocabulary; i++) {
                if (scaled[i] < smallest) {
                    scaled[i] = Double.NEGATIVE_INFINITY;
                }
            }
        }
        double[] probabilities = softmax(scaled);
        if (topP == 1) {
            return probabilities;
        }
        double[] ascending = probabilities.clone();
        Arrays.sort(ascending);
        int kept = 0;
        for (double before = 0; kept < vocabulary && before <= topP; kept++) {
            before += ascending[vocabulary - 1 - kept];
        }
        // of several tokens that are as likely as the last one kept, the first stay
        double smallest = ascending[vocabulary - kept];
        for (int i = 0; i < vocabulary; i++) {
            if (probabilities[i] > smallest) {
                kept--;
            }
        }
        for (int i = 0; i < vocabulary; i++) {
            boolean stays = probabilities[i] > smallest || probabilities[i] == smallest && kept-- > 0;
            if (!stays) {
                scaled[i] = Double.NEGATIVE_INFINITY;
            }
        }
        return softmax(scaled);
    }

    private static void requireSettings(double temperature, int topK, double topP) {
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

    /** A network that has diverged must not pass for one that likes token 0. Negative infinity means "never". */
    private static void requireNumbers(float[] logits) {
        if (logits.length == 0) {
            throw new IllegalArgumentException("There are no logits to choose from");
        }
        for (int i = 0; i < logits.length; i++) {
            if (!(logits[i] < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "The logit of token " + i + " is " + logits[i] + ": the network has diverged");
            }
        }
    }

    private static double[] softmax(double[] logits) {
        double max = Arrays.stream(logits).max().orElseThrow();
        double[] result = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < logits.length; i++) {
            result[i] = Math.exp(logits[i] - max);
            sum += result[i];
        }
        for (int i = 0; i < result.length; i++) {
            result[i] /= sum;
        }
        return result;
    }

    private static int draw(double[] probabilities, SplittableRandom random) {
        double rest = random.nextDouble();
        int last = 0;
        for (int i = 0; i < probabilities.length; i++) {
            if (probabilities[i] > 0) {
                last = i;
                rest -= probabilities[i];
                if (rest < 0) {
                    return i;
                }
            }
        }
        return last;
    }
}
