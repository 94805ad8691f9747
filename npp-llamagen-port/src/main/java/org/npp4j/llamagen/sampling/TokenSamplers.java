package org.npp4j.llamagen.sampling;

/** Makes the sampler of each image of a run. */
@FunctionalInterface
public interface TokenSamplers {
    /**
     * The sampler of an image. Samplers of different images may be called by several threads at the same time, so images
     * may share a sampler only if it has no state.
     *
     * @param image index of the image in the run, from 0
     * @return its sampler, at the image's first token
     */
    TokenSampler ofImage(long image);

    /** {@return samplers that take the token with the largest logit, the first of several} */
    static TokenSamplers greedy() {
        TokenSampler greedy = TokenSampler.greedy();
        return image -> greedy;
    }

    /**
     * Samplers that draw as {@link TokenSampler#random}, each image with random numbers of its own, which depend on the
     * seed and the image's index alone.
     *
     * @param temperature above 0
     * @param topK at least 1, or 0 for all tokens
     * @param topP in (0, 1]
     * @param seed of the run
     * @return the samplers
     * @throws IllegalArgumentException if a setting is out of range
     */
    static TokenSamplers random(double temperature, int topK, double topP, long seed) {
        TokenFilter filter = new TokenFilter(temperature, topK, topP);
        return image -> filter.sampler(ImageRandom.of(seed, image, "tokens"));
    }

    /**
     * The samplers of the images from one on: those of a later batch.
     *
     * @param first index in the run of the image that is called 0 by the result
     * @return samplers with that offset
     */
    default TokenSamplers from(long first) {
        return image -> ofImage(first + image);
    }
}
