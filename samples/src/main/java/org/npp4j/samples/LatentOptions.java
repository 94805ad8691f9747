package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Options of the commands that train on latents: the images, and what makes latents of them. */
final class LatentOptions {
    @Option(
            names = "--data",
            paramLabel = "DIR",
            description =
                    "A small image set: the four IDX files of (Fashion-)MNIST, or binary files of CIFAR-10. Its test"
                            + " images are tested on. Default: the Fashion-MNIST subset that comes along.")
    private Path data;

    @Option(
            names = "--per-class",
            paramLabel = "N",
            description = "Train on the first N images of each class. Default: on all.")
    private Integer perClass;

    @Mixin
    private CodecOptions codec;

    /** {@return the images, checked} */
    SmallImageSet images() throws IOException {
        if (perClass != null && perClass < 1) {
            throw new UsageException("--per-class must be at least 1, but is " + perClass);
        }
        SmallImageSet all = data == null ? SmallImageSet.shipped() : SmallImageSet.load(data);
        if (perClass == null) {
            return all;
        }
        LabelledImages some = all.train().firstOfEachClass(perClass);
        return new SmallImageSet(all.name() + ", " + perClass + " of each class", some, all.test());
    }

    /**
     * What makes latents of images.
     *
     * @param train images that the codec may be fitted to
     * @param grid the side of the grid, if the model says it; null for the smallest that covers the images
     * @param multiple of which the grid must be one
     * @return the codec
     * @throws IllegalArgumentException if it does not go with the images
     * @throws IOException if a file cannot be read
     */
    LatentCodec codec(PixelImages train, Integer grid, int multiple) throws IOException {
        return codec.codec(train, grid, multiple);
    }
}
