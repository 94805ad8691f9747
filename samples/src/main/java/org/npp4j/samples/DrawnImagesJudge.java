package org.npp4j.samples;

import java.io.IOException;
import java.util.Optional;
import org.npp4j.arbiter.FrechetScore;
import org.npp4j.llamagen.evaluation.FeatureNetwork;
import org.npp4j.llamagen.evaluation.FeatureStatistics;
import org.npp4j.llamagen.evaluation.FrechetDistance;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.samples.report.DrawnScores;

/** Scores drawn images with the classifier that comes along, against the test images. */
final class DrawnImagesJudge {
    /** Below it the classifier does not know the data, and says nothing about it. */
    private static final double KNOWS = 0.8;

    private static final int BATCH = 250;
    private static final int SIDE = 28;
    private static final int CLASSES = 10;

    private final FeatureNetwork classifier;
    private final FeatureStatistics reference;
    private final FrechetDistance distance;
    private final double agreement;
    private final int referenceImages;

    private DrawnImagesJudge(FeatureNetwork classifier, Seen test, int referenceImages) {
        this.classifier = classifier;
        this.agreement = test.agreement();
        this.referenceImages = referenceImages;
        this.reference = test.statistics();
        this.distance = new FrechetDistance(test.statistics());
    }

    /** What the classifier sees in a set: the features' statistics, and the share that it assigns to their classes. */
    private record Seen(FeatureStatistics statistics, double agreement) {}

    /**
     * A judge for a data set.
     *
     * @param test its test images
     * @return the judge; empty if the classifier does not know this kind of images
     * @throws IOException if the classifier cannot be read
     */
    static Optional<DrawnImagesJudge> of(LabelledImages test) throws IOException {
        PixelImages images = test.images();
        if (images.channels() != 1
                || images.height() != SIDE
                || images.width() != SIDE
                || test.classes() != CLASSES
                || test.count() < 2) {
            return Optional.empty();
        }
        FeatureNetwork classifier = ShippedClassifier.load();
        Seen seen = see(classifier, images, test.labels());
        return seen.agreement() < KNOWS
                ? Optional.empty()
                : Optional.of(new DrawnImagesJudge(classifier, seen, test.count()));
    }

    /**
     * Scores images.
     *
     * @param drawn at least two images
     * @param classes that were asked for
     * @return the scores
     */
    DrawnScores score(PixelImages drawn, int[] classes) {
        Seen seen = see(classifier, drawn, classes);
        return new DrawnScores(
                classifier.name(),
                classifier.sha256(),
                drawn.count(),
                referenceImages,
                distance.to(seen.statistics()),
                seen.agreement(),
                agreement);
    }

    /**
     * The score of a sweep's candidates.
     *
     * @param tokenizer that makes images of their tokens
     * @param images to draw
     * @param guidance of the draws
     * @param seed of the draws
     * @return their distance from the test images
     * @throws IllegalArgumentException if these are too few
     */
    FrechetScore score(ImageTokenizer tokenizer, int images, double guidance, long seed) {
        return new FrechetScore(classifier, reference, tokenizer, images, guidance, seed);
    }

    private static Seen see(FeatureNetwork classifier, PixelImages images, int[] classes) {
        FeatureStatistics.Accumulator statistics = null;
        int right = 0;
        for (int from = 0; from < images.count(); from += BATCH) {
            FeatureNetwork.Seen seen = classifier.look(images.range(from, Math.min(images.count(), from + BATCH)));
            if (statistics == null) {
                statistics =
                        new FeatureStatistics.Accumulator((int) seen.features().size(1));
            }
            statistics.add(seen.features());
            int[] likeliest = seen.probabilities().orElseThrow().argMax(1).toIntVector();
            for (int i = 0; i < likeliest.length; i++) {
                right += likeliest[i] == classes[from + i] ? 1 : 0;
            }
        }
        return new Seen(statistics.statistics(), right / (double) classes.length);
    }
}
