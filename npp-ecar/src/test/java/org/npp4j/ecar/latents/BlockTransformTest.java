package org.npp4j.ecar.latents;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.images.PixelImages;

class BlockTransformTest {
    private static PixelImages images(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(1).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    @ParameterizedTest
    @CsvSource({"1, 28, 28, 4, 8", "3, 8, 8, 4, 2", "1, 7, 10, 3, 4", "2, 6, 6, 1, 6", "1, 5, 5, 8, 1"})
    void loosesNothing(int channels, int height, int width, int blockSide, int grid) throws IOException {
        PixelImages images = images(50, channels, height, width);
        BlockTransform codec = BlockTransform.fit(images, blockSide, grid);
        INDArray latents = codec.encode(images);
        assertEquals(channels * blockSide * blockSide, codec.channels());
        assertEquals(images, codec.decode(latents));
        LatentCodec read = LatentCodec.parse(codec.toJson());
        assertEquals(codec, read);
        assertEquals(latents, read.encode(images));
    }

    @Test
    void hasUnitVarianceInEveryChannel() {
        PixelImages images = images(60, 1, 12, 12);
        INDArray latents = BlockTransform.fit(images, 4, 4).encode(images);
        for (int c = 0; c < 16; c++) {
            INDArray channel = latents.get(NDArrayIndex.all(), NDArrayIndex.point(c));
            assertEquals(0, channel.meanNumber().doubleValue(), 1e-3);
            assertEquals(1, channel.dup().varNumber().doubleValue(), 1e-2);
        }
    }

    /** Against the definition: sums over pixels. */
    @Test
    void isTheCosineTransform() throws IOException {
        PixelImages images = images(2, 1, 6, 6);
        INDArray plain = LatentCodec.parse(
                        "{\"kind\":\"block-transform\",\"block_side\":3,\"grid\":2,\"image_channels\":1,"
                                + "\"height\":6,\"width\":6,\"means\":[0,0,0,0,0,0,0,0,0],\"deviations\":[1,1,1,1,1,1,1,1,1]}")
                .encode(images);
        INDArray pixels = images.toSignedUnit();
        for (int k = 0; k < 3; k++) {
            for (int l = 0; l < 3; l++) {
                double sum = 0;
                for (int y = 0; y < 3; y++) {
                    for (int x = 0; x < 3; x++) {
                        sum += pixels.getDouble(1, 0, 3 + y, x)
                                * Math.cos(Math.PI * (2 * y + 1) * k / 6)
                                * Math.cos(Math.PI * (2 * x + 1) * l / 6)
                                * Math.sqrt((k == 0 ? 1 : 2) / 3.0)
                                * Math.sqrt((l == 0 ? 1 : 2) / 3.0);
                    }
                }
                assertEquals(sum, plain.getDouble(1, 3 * k + l, 1, 0), 1e-5);
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        PixelImages images = images(2, 1, 6, 6);
        BlockTransform codec = BlockTransform.fit(images, 3, 2);
        assertEquals(
                "2 blocks of side 2 do not cover images of 6 x 6 pixels. Take larger blocks or more of them",
                message(() -> BlockTransform.fit(images, 2, 2)));
        assertTrue(message(() -> codec.encode(images(1, 1, 6, 5))).contains("got 1 x 6 x 5"));
        assertTrue(message(() -> codec.decode(Nd4j.zeros(1, 9, 2, 3))).contains("[images, 9, 2, 2]"));
        assertTrue(message(() -> LatentCodec.parse("{}")).contains("got \"\""));
        assertTrue(message(() -> LatentCodec.parse("{")).contains("not JSON"));
        assertTrue(message(() -> LatentCodec.parse("{\"kind\": \"block-transform\"}"))
                .contains("at least 1"));
        assertTrue(message(() -> LatentCodec.parse(codec.toJson().replace("\"deviations\":[", "\"deviations\":[0,")))
                .contains("a mean and a deviation above 0"));
    }

    private static String message(Executable action) {
        return assertThrows(IllegalArgumentException.class, action).getMessage();
    }
}
