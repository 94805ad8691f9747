package org.npp4j.llamagen.evaluation;

import java.io.IOException;
import java.util.Optional;
import java.util.function.LongConsumer;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.images.PixelImages;

/** What a network sees in all images of a set: features and class probabilities of each, statistics of spatial features. */
public final class SeenImages implements AutoCloseable {
    private final Features features;
    private final Features probabilities;
    private final FeatureStatistics.Accumulator spatial;

    private SeenImages(Features features, Features probabilities, FeatureStatistics.Accumulator spatial) {
        this.features = features;
        this.probabilities = probabilities;
        this.spatial = spatial;
    }

    /**
     * Looks at images batch by batch.
     *
     * @param network what looks
     * @param images read to their end; not closed
     * @param batch images at a time, at least 1
     * @param progress told how many images have been seen
     * @return what was seen; it takes over nothing
     * @throws IOException if an image cannot be read
     * @throws IllegalArgumentException if the network does not take the images
     */
    public static SeenImages of(FeatureNetwork network, ImageSource images, int batch, LongConsumer progress)
            throws IOException {
        Features features = null;
        Features probabilities = null;
        FeatureStatistics.Accumulator spatial = null;
        long seen = 0;
        for (PixelImages some = images.next(batch); some != null; some = images.next(batch)) {
            FeatureNetwork.Seen now = network.look(some);
            if (features == null) {
                features = Features.empty(now.features().size(1), now.features().dataType());
                if (now.probabilities().isPresent()) {
                    probabilities = Features.empty(
                            now.probabilities().get().size(1),
                            now.probabilities().get().dataType());
                }
                if (now.spatialFeatures().isPresent()) {
                    spatial = new FeatureStatistics.Accumulator(
                            (int) now.spatialFeatures().get().size(1));
                }
            }
            features.add(now.features());
            if (probabilities != null) {
                probabilities.add(now.probabilities().orElseThrow());
            }
            if (spatial != null) {
                spatial.add(now.spatialFeatures().orElseThrow());
            }
            seen += some.count();
            progress.accept(seen);
        }
        if (features == null) {
            throw new IllegalArgumentException("There are no images to look at");
        }
        return new SeenImages(features, probabilities, spatial);
    }

    /**
     * Features that were computed elsewhere.
     *
     * @param features of the images; taken over
     * @param probabilities of the classes, for the Inception score; taken over; null for none
     * @return both
     */
    public static SeenImages of(Features features, Features probabilities) {
        return new SeenImages(features, probabilities, null);
    }

    /** {@return the features of each image} */
    public Features features() {
        return features;
    }

    /** {@return the class probabilities of each image, if the network gives them} */
    public Optional<Features> probabilities() {
        return Optional.ofNullable(probabilities);
    }

    /** {@return mean and covariance of the spatial features, if the network gives them} */
    public Optional<FeatureStatistics> spatialStatistics() {
        return Optional.ofNullable(spatial).map(FeatureStatistics.Accumulator::statistics);
    }

    /** Gives the memory back. */
    @Override
    public void close() {
        features.close();
        if (probabilities != null) {
            probabilities.close();
        }
    }
}
