package org.npp4j.llamagen.images;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;

/** Real images for tests: 20 of each class for training, 5 of each class for testing. */
public final class FashionMnistSmall {
    private FashionMnistSmall() {}

    /** {@return the folder of the four files} */
    public static Path folder() {
        try {
            return Path.of(FashionMnistSmall.class
                            .getResource("/golden/fashion-mnist-small/README.md")
                            .toURI())
                    .getParent();
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * One part of them.
     *
     * @param split which part
     * @return the images
     * @throws IOException if they cannot be read
     */
    public static LabelledImages load(LabelledImages.Split split) throws IOException {
        return LabelledImages.load(folder(), split);
    }
}
