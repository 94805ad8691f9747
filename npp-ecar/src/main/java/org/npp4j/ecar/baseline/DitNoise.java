package org.npp4j.ecar.baseline;

import java.util.SplittableRandom;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.sampling.ImageRandom;

/** Unit normal maps. That of an image depends on the seed and on the image's number alone. */
public final class DitNoise {
    private DitNoise() {}

    /**
     * The noise of a run of images.
     *
     * @param config sizes
     * @param seed of the run
     * @param firstImage number of the first image
     * @param images B
     * @param purpose what for: noise of two purposes is unrelated
     * @return [B, C, G, G]
     */
    public static INDArray of(DitConfig config, long seed, long firstImage, int images, String purpose) {
        int length = config.channels() * config.grid() * config.grid();
        float[] values = new float[Math.multiplyExact(images, length)];
        for (int i = 0; i < images; i++) {
            SplittableRandom random = ImageRandom.of(seed, firstImage + i, purpose);
            for (int at = 0; at < length; at++) {
                values[i * length + at] = (float) random.nextGaussian();
            }
        }
        return Nd4j.createFromArray(values).reshape('c', images, config.channels(), config.grid(), config.grid());
    }
}
