package org.npp4j.samples;

import java.io.IOException;
import java.util.Optional;
import org.npp4j.llamagen.evaluation.FeatureNetwork;
import org.npp4j.llamagen.evaluation.FeatureStatistics;
import org.npp4j.llamagen.evaluation.FrechetDistance;
import org.npp4j.llamagen.evaluation.ImageClassifier;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.samples.report.DrawnScores;

/** Scores drawn images with the classifier that comes along, against the test images. */
final class DrawnImagesJudge {
    /** Below it the classifier does not know the data, and says nothing about it. */
    private static final double KNOWS = 0.8;

    private static final int BATCH = 250;
    private static final int SIDE = 28;
    private static final int CLASSES = 10;

    private final FeatureNetwork classifier;
    private final FrechetDistance distance;
    private final double agreement;
    private final int referenceImages;

    private DrawnImagesJudge(FeatureNetwork classifier, LabelledImages test, double agreement) {
        this.classifier = classifier;
        this.agreement = agreement;
        this.referenceImages = test.count();
        this.distance = new FrechetDistance(statistics(test.images()));
    }

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
        double agreement = ImageClassifier.accuracy(classifier, images, test.labels());
        return agreement < KNOWS ? Optional.empty() : Optional.of(new DrawnImagesJudge(classifier, test, agreement));
    }

    /**
     * Scores images.
     *
     * @param drawn at least two images
     * @param classes that were asked for
     * @return the scores
     */
    DrawnScores score(PixelImages drawn, int[] classes) {
        return new DrawnScores(
                classifier.name(),
                classifier.sha256(),
                drawn.count(),
                referenceImages,
                distance.to(statistics(drawn)),
                ImageClassifier.accuracy(classifier, drawn, classes),
                agreement);
    }

    private FeatureStatistics statistics(PixelImages images) {
        FeatureStatistics.Accumulator statistics = null;
        for (int from = 0; from < images.count(); from += BATCH) {
            FeatureNetwork.Seen seen = classifier.look(images.range(from, Math.min(images.count(), from + BATCH)));
            if (statistics == null) {
                statistics =
                        new FeatureStatistics.Accumulator((int) seen.features().size(1));
            }
            statistics.add(seen.features());
        }
        return statistics.statistics();
    }
}
