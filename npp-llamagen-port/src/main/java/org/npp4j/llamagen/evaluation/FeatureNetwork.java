package org.npp4j.llamagen.evaluation;

import java.util.Optional;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.images.PixelImages;

/** What sees features in images. Scores carry its name, because scores of different networks have nothing in common. */
public interface FeatureNetwork {
    /** {@return the name for labels such as FID(name)} */
    String name();

    /** {@return the SHA-256 of the file with the network, 64 hexadecimal digits} */
    String sha256();

    /** {@return how images are brought to the size and range that the network takes, in words} */
    String preparation();

    /**
     * Looks at images.
     *
     * @param images [n, C, H, W]
     * @return what the network sees
     * @throws IllegalArgumentException if it does not take images of this size or number of channels
     */
    Seen look(PixelImages images);

    /**
     * What a network sees in images.
     *
     * @param features [n, F], float
     * @param spatialFeatures [n, S], float, with the positions in the image; for sFID
     * @param probabilities of the classes, [n, C], float; for the Inception score
     */
    record Seen(INDArray features, Optional<INDArray> spatialFeatures, Optional<INDArray> probabilities) {}
}
