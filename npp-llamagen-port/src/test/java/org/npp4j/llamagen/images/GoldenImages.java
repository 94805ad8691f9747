package org.npp4j.llamagen.images;

import java.net.URISyntaxException;
import java.nio.file.Path;
import org.nd4j.linalg.api.ndarray.INDArray;

/** The golden pictures, and data beside the project that not everyone has. */
final class GoldenImages {
    private GoldenImages() {}

    static Path file(String name) {
        try {
            return Path.of(
                    GoldenImages.class.getResource("/golden/images/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Beside the checkout, or where -Dnpp.shared says. */
    static Path shared(String name) {
        return Path.of(System.getProperty("npp.shared", "../../shared")).resolve(name);
    }

    /** [H, W, 3] or [B, H, W, 3] -> [B, 3, H, W]. */
    static PixelImages planar(INDArray array) {
        boolean one = array.rank() == 3;
        int count = one ? 1 : (int) array.size(0);
        int height = (int) array.size(one ? 0 : 1);
        int width = (int) array.size(one ? 1 : 2);
        byte[] values = array.reshape(array.length()).data().asBytes();
        byte[] pixels = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            int image = i / (3 * height * width);
            int pixel = i / 3 % (height * width);
            pixels[(image * 3 + i % 3) * height * width + pixel] = values[i];
        }
        return new PixelImages(count, 3, height, width, pixels);
    }
}
