package org.npp4j.arbiter;

import java.util.Objects;
import org.npp4j.llamagen.evaluation.FeatureNetwork;
import org.npp4j.llamagen.evaluation.FeatureStatistics;
import org.npp4j.llamagen.evaluation.FrechetDistance;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/**
 * The Fréchet distance between images that the candidate draws and reference images, as a network sees both. Classes are drawn
 * equally often. The same seed for every candidate; few images give a distance that is too large for all.
 */
public final class FrechetScore extends CandidateScore {
    private static final long serialVersionUID = 1L;
    private static final int BATCH = 100;

    private final transient FeatureNetwork network;
    private final transient FrechetDistance reference;
    private final transient ImageTokenizer tokenizer;
    private final int images;
    private final double guidance;
    private final long seed;

    /**
     * A distance from a reference.
     *
     * @param network that looks at the images
     * @param reference what it saw in the reference images
     * @param tokenizer that makes images of tokens
     * @param images to draw, at least 2
     * @param guidance scale of the draws, 1 for none
     * @param seed of the draws
     * @throws IllegalArgumentException if there are less than 2 images
     */
    public FrechetScore(
            FeatureNetwork network,
            FeatureStatistics reference,
            ImageTokenizer tokenizer,
            int images,
            double guidance,
            long seed) {
        this.network = Objects.requireNonNull(network, "A Fréchet distance needs a network that looks at the images");
        this.reference = new FrechetDistance(reference);
        this.tokenizer = Objects.requireNonNull(tokenizer, "Images are made of tokens by a tokenizer");
        if (images < 2) {
            throw new IllegalArgumentException("A Fréchet distance needs at least 2 images, got " + images);
        }
        this.images = images;
        this.guidance = guidance;
        this.seed = seed;
    }

    @Override
    public double score(TrainedCandidate candidate) {
        if (network == null) {
            throw new IllegalStateException("A Fréchet score cannot be read from a file: its network stays behind");
        }
        int classes = candidate.plan().model().classes();
        TokenSamplers samplers = TokenSamplers.random(1, 0, 1, seed);
        FeatureStatistics.Accumulator statistics = null;
        try (GptDecoder decoder = new GptDecoder(candidate.network())) {
            Guidance scale = decoder.guidable() ? Guidance.of(guidance) : Guidance.NONE;
            for (int from = 0; from < images; from += BATCH) {
                int[] asked = new int[Math.min(BATCH, images - from)];
                for (int i = 0; i < asked.length; i++) {
                    asked[i] = (from + i) % classes;
                }
                FeatureNetwork.Seen seen =
                        network.look(tokenizer.decode(decoder.generate(asked, scale, samplers.from(from))));
                if (statistics == null) {
                    statistics = new FeatureStatistics.Accumulator(
                            Math.toIntExact(seen.features().size(1)));
                }
                statistics.add(seen.features());
            }
        }
        return reference.to(statistics.statistics());
    }

    @Override
    public String name() {
        return "FID(" + network.name() + ") of " + images + " images";
    }
}
