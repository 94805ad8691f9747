package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.sampling.ImageRandom;

/** Unit normal maps for every stage. Those of an image depend on the seed and on the image's number alone. */
public final class StageNoise {
    private StageNoise() {}

    /**
     * The noise of a run of images.
     *
     * @param config sizes of the maps
     * @param seed of the run
     * @param firstImage number of the first image
     * @param images B
     * @param purpose what for: noise of two purposes is unrelated
     * @return a map [B, C, side, side] for each stage, coarse to fine
     */
    public static List<INDArray> of(EcarConfig config, long seed, long firstImage, int images, String purpose) {
        List<float[]> values = new ArrayList<>();
        for (int s = 0; s < config.stages(); s++) {
            values.add(new float[Math.multiplyExact(images, perImage(config, s))]);
        }
        for (int i = 0; i < images; i++) {
            SplittableRandom random = ImageRandom.of(seed, firstImage + i, purpose);
            for (int s = 0; s < config.stages(); s++) {
                int length = perImage(config, s);
                for (int at = 0; at < length; at++) {
                    values.get(s)[i * length + at] = (float) random.nextGaussian();
                }
            }
        }
        List<INDArray> noise = new ArrayList<>();
        for (int s = 0; s < config.stages(); s++) {
            int side = config.side(s);
            noise.add(Nd4j.createFromArray(values.get(s)).reshape('c', images, config.channels(), side, side));
        }
        return noise;
    }

    private static int perImage(EcarConfig config, int stage) {
        return config.channels() * config.side(stage) * config.side(stage);
    }
}
