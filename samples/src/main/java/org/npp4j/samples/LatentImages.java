package org.npp4j.samples;

import java.util.LinkedHashMap;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.LatentDataSetIterator;
import org.npp4j.ecar.latents.KlCodec;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;

/** Images as latents, in memory. */
final class LatentImages {
    /** Images are encoded so many at a time. */
    private static final int ENCODED = 256;

    private final SmallImageSet images;
    private final LatentCodec codec;
    private final INDArray train;
    private final INDArray test;

    /**
     * Encodes images.
     *
     * @param images to train and test on
     * @param codec that makes latents
     */
    LatentImages(SmallImageSet images, LatentCodec codec) {
        this.images = images;
        this.codec = codec;
        train = encode(images.train().images());
        test = images.test() == null ? null : encode(images.test().images());
    }

    private INDArray encode(PixelImages pixels) {
        INDArray latents = Nd4j.createUninitialized(
                DataType.FLOAT, new long[] {pixels.count(), codec.channels(), codec.grid(), codec.grid()}, 'c');
        for (int from = 0; from < pixels.count(); from += ENCODED) {
            int to = Math.min(pixels.count(), from + ENCODED);
            latents.get(NDArrayIndex.interval(from, to)).assign(codec.encode(pixels.range(from, to)));
        }
        return latents;
    }

    LatentCodec codec() {
        return codec;
    }

    SmallImageSet images() {
        return images;
    }

    /** {@return bytes of all latents} */
    long bytes() {
        return (train.length() + (test == null ? 0 : test.length())) * Float.BYTES;
    }

    /** {@return batches to train on, shuffled anew in every epoch} */
    LatentDataSetIterator batches(EcarConfig config, int batchSize, long seed) {
        return new LatentDataSetIterator(config, train, images.train().labels(), batchSize, seed);
    }

    /** {@return batches to test on, with the same noise every time; null if there are no images for that} */
    LatentDataSetIterator test(EcarConfig config, int batchSize) {
        return test == null
                ? null
                : new LatentDataSetIterator(config, test, images.test().labels(), batchSize, true, 0);
    }

    /** {@return what tells these data from others, name to value} */
    Map<String, String> description() {
        Map<String, String> description = new LinkedHashMap<>();
        put(description, "images", images.train());
        if (images.test() != null) {
            put(description, "test images", images.test());
        }
        description.put("latents", codec.channels() + " channels, " + codec.grid() + " x " + codec.grid());
        if (codec instanceof KlCodec kl) {
            description.put("SHA-256 of the KL autoencoder", kl.sha256());
            description.put("scale of the latents", Double.toString(kl.scale()));
        }
        description.put("SHA-256 of the latent codec", codec.fingerprint());
        return description;
    }

    private static void put(Map<String, String> description, String name, LabelledImages part) {
        description.put(name, Integer.toString(part.count()));
        description.put("SHA-256 of " + name, part.sha256());
    }

    @Override
    public String toString() {
        return images.name() + ": " + images.train().count() + " images to train on, "
                + (images.test() == null ? 0 : images.test().count()) + " to test on";
    }
}
