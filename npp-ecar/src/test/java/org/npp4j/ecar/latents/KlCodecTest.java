package org.npp4j.ecar.latents;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlAutoencoder;
import org.npp4j.llamagen.tokenizer.KlConfig;

class KlCodecTest {
    private static final KlConfig SMALL = new KlConfig.Builder()
            .channels(32)
            .channelMultipliers(1, 1)
            .residualBlocks(1)
            .latentChannels(3)
            .build();

    @TempDir
    private Path folder;

    private Path checkpoint;

    @BeforeEach
    void save() throws IOException {
        checkpoint = folder.resolve("kl.safetensors");
        KlAutoencoder.random(SMALL, 5).save(checkpoint);
    }

    private static PixelImages images(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(3).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    @Test
    void latentsAreTheMeansTimesTheScale() throws IOException {
        PixelImages images = images(4, 3, 8, 8);
        KlCodec codec = KlCodec.load(checkpoint, null, images, 0.3, 2);
        assertEquals(3, codec.channels());
        assertEquals(4, codec.grid());
        assertEquals(0.3, codec.scale());
        KlAutoencoder autoencoder = KlAutoencoder.load(checkpoint, SMALL);
        INDArray means = autoencoder.encode(images.toSignedUnit()).mode();
        INDArray latents = codec.encode(images);
        assertTrue(means.mul(0.3).equalsWithEps(latents, 1e-6));
        assertEquals(PixelImages.fromSignedUnit(autoencoder.decode(latents.div(0.3))), codec.decode(latents));
    }

    @Test
    void theMeasuredScaleGivesUnitVariance() throws IOException {
        PixelImages images = images(300, 3, 8, 8);
        KlCodec codec = KlCodec.load(checkpoint, SMALL, images, null, 1);
        assertEquals(1, codec.encode(images).stdNumber(false).doubleValue(), 1e-4);
        // and it is kept
        assertEquals(codec.scale(), ((KlCodec) LatentCodec.parse(codec.toJson())).scale());
    }

    /** 7 x 5 pixels lie in the middle of 8 x 8, continued by their edges; grey ones come back grey. */
    @Test
    void continuesSmallImages() throws IOException {
        PixelImages images = images(2, 1, 7, 5);
        KlCodec codec = KlCodec.load(checkpoint, null, images, 1.0, 4);
        assertEquals(4, codec.grid());
        byte[] padded = new byte[2 * 64];
        for (int i = 0; i < padded.length; i++) {
            int y = Math.min(6, i % 64 / 8);
            int x = Math.min(4, Math.max(0, i % 8 - 1));
            padded[i] = (byte) images.pixel(i / 64, 0, y, x);
        }
        PixelImages squares = new PixelImages(2, 1, 8, 8, padded);
        KlCodec whole = KlCodec.load(checkpoint, null, squares, 1.0, 4);
        assertEquals(whole.encode(squares), codec.encode(images));
        PixelImages decoded = codec.decode(codec.encode(images));
        PixelImages expected = whole.decode(whole.encode(squares));
        assertArrayEquals(new int[] {1, 7, 5}, new int[] {decoded.channels(), decoded.height(), decoded.width()});
        for (int y = 0; y < 7; y++) {
            for (int x = 0; x < 5; x++) {
                assertEquals(expected.pixel(1, 0, y, x + 1), decoded.pixel(1, 0, y, x));
            }
        }
    }

    @Test
    void remembersItsCheckpoint() throws IOException {
        PixelImages images = images(3, 3, 8, 8);
        KlCodec codec = KlCodec.load(checkpoint, null, images, 0.5, 1);
        String json = codec.toJson();
        LatentCodec read = LatentCodec.parse(json);
        assertEquals(codec, read);
        assertEquals(codec.hashCode(), read.hashCode());
        assertEquals(codec.encode(images), read.encode(images));
        assertNotEquals(codec, KlCodec.load(checkpoint, null, images, 0.6, 1));
        // another place is the same codec, another file is not
        Path moved = folder.resolve("moved.safetensors");
        Files.move(checkpoint, moved);
        assertEquals(codec, LatentCodec.parse(json, moved));
        assertEquals(codec.fingerprint(), LatentCodec.parse(json, moved).fingerprint());
        String message =
                assertThrows(IOException.class, () -> LatentCodec.parse(json)).getMessage();
        assertTrue(message.contains("there is no file " + checkpoint + ". Put it there, or say where"), message);
        assertTrue(message.contains(codec.sha256()), message);
        KlAutoencoder.random(SMALL, 6).save(checkpoint);
        message = assertThrows(IOException.class, () -> LatentCodec.parse(json)).getMessage();
        assertTrue(message.contains("is not the KL autoencoder whose latents these are: its SHA-256 is"), message);
    }

    @Test
    void refusesWhatDoesNotFit() throws IOException {
        PixelImages images = images(2, 3, 8, 8);
        KlCodec codec = KlCodec.load(checkpoint, null, images, 1.0, 1);
        assertEquals(
                "2 x 2 latents of 2 x 2 pixels do not cover images of 8 x 8 pixels. Take a larger grid or smaller images",
                refused(() -> KlCodec.load(checkpoint, null, images, 1.0, 1, 2)));
        for (double scale : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertTrue(refused(() -> KlCodec.load(checkpoint, null, images, scale, 1))
                    .contains("multiplied with a finite number above 0, got " + scale));
        }
        assertTrue(refused(() -> KlCodec.load(checkpoint, null, images(2, 2, 8, 8), 1.0, 1))
                .contains("takes grey images or such of 3 channels"));
        assertTrue(refused(() -> codec.encode(images(1, 3, 8, 6))).contains("got 3 x 8 x 6"));
        assertTrue(refused(() -> codec.decode(Nd4j.zeros(1, 3, 4, 5))).contains("[images, 3, 4, 4]"));
        PixelImages none = images(0, 3, 8, 8);
        assertTrue(refused(() -> KlCodec.load(checkpoint, null, none, null, 1)).contains("at least one image"));
        BlockTransform blocks = BlockTransform.fit(images, 4, 2);
        assertTrue(refused(() -> LatentCodec.parse(blocks.toJson(), checkpoint))
                .contains("needs no checkpoint of an autoencoder"));
        assertThrows(IOException.class, () -> KlCodec.load(folder.resolve("none.pt"), null, images, 1.0, 1));
    }

    private static String refused(Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
