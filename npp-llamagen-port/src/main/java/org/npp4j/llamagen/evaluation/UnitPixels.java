package org.npp4j.llamagen.evaluation;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.images.PixelImages;

/** Pixels as networks of this package take them that do not say otherwise. */
final class UnitPixels {
    private UnitPixels() {}

    /** [n, C, H, W] floats: v / 255. */
    static INDArray of(PixelImages images) {
        byte[] bytes = images.toBytes();
        float[] values = new float[bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            values[i] = (bytes[i] & 0xff) / 255f;
        }
        return Nd4j.createFromArray(values)
                .reshape('c', images.count(), images.channels(), images.height(), images.width());
    }
}
