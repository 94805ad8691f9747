package org.npp4j.llamagen.sampling;

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
            TokenFilter.max(logits);
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
        return new TokenFilter(temperature, topK, topP).sampler(new SplittableRandom(seed));
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
        double[] probabilities = new TokenFilter(temperature, topK, topP).weights(logits);
        double sum = TokenFilter.sum(probabilities);
        for (int i = 0; i < probabilities.length; i++) {
            probabilities[i] /= sum;
        }
        return probabilities;
    }
}
