package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

class PixelImagesTest {
    private static PixelImages counting(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (byte) i;
        }
        return new PixelImages(count, channels, height, width, pixels);
    }

    @Test
    void everyPixelSurvivesTheWayThroughFloats() {
        PixelImages images = counting(2, 1, 8, 16);
        INDArray floats = images.toSignedUnit();
        assertArrayEquals(new long[] {2, 1, 8, 16}, floats.shape());
        assertEquals(DataType.FLOAT, floats.dataType());
        assertEquals(-1f, floats.getFloat(0, 0, 0, 0));
        assertEquals(1f, floats.getFloat(1, 0, 7, 15));
        assertEquals(images, PixelImages.fromSignedUnit(floats));
        assertEquals(images, PixelImages.fromUnit(floats.add(1).mul(0.5)));
    }

    @Test
    void outputsAreClampedAndTruncated() {
        INDArray values = Nd4j.createFromArray(-3f, -1.004f, -0.0001f, 0f, 0.00393f, 0.999f, 7f)
                .reshape(1, 1, 1, 7);
        int[] expected = {0, 0, 127, 128, 128, 255, 255};
        PixelImages images = PixelImages.fromSignedUnit(values);
        for (int x = 0; x < expected.length; x++) {
            assertEquals(expected[x], images.pixel(0, 0, 0, x), "value " + x);
        }
    }

    @Test
    void stridedAndDoubleArraysAreRead() {
        PixelImages images = counting(2, 3, 4, 5);
        INDArray doubles = images.toSignedUnit().castTo(DataType.DOUBLE);
        INDArray strided = doubles.permute(0, 2, 3, 1).dup('c').permute(0, 3, 1, 2);
        assertEquals(images, PixelImages.fromSignedUnit(strided));
        assertEquals(
                images.range(1, 2),
                PixelImages.fromSignedUnit(doubles.dup('f').get(org.nd4j.linalg.indexing.NDArrayIndex.interval(1, 2))));
    }

    @Test
    void interleaves() {
        byte[] pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
        assertArrayEquals(
                new byte[] {1, 3, 5, 2, 4, 6, 7, 9, 11, 8, 10, 12},
                new PixelImages(2, 3, 1, 2, pixels).toInterleavedBytes());
    }

    @Test
    void selectsAndRanges() {
        PixelImages images = counting(4, 3, 2, 2);
        PixelImages selected = images.select(3, 0, 3);
        assertEquals(3, selected.count());
        assertEquals(images.pixel(3, 2, 1, 0), selected.pixel(2, 2, 1, 0));
        assertEquals(images.pixel(0, 1, 0, 1), selected.pixel(1, 1, 0, 1));
        assertEquals(images.select(1, 2), images.range(1, 3));
        assertEquals(images.range(0, 4).hashCode(), images.hashCode());
        assertNotEquals(images, images.range(0, 3));
        assertEquals(0, images.range(2, 2).count());
    }

    @Test
    void wrongSizesAndValuesAreRefused() {
        assertMessage("do not fit an array of 5", () -> new PixelImages(1, 1, 2, 3, new byte[5]));
        assertMessage("do not fit", () -> new PixelImages(1, 2_000_000_000, 2_000_000_000, 2_000_000_000, new byte[5]));
        assertMessage("at least one channel, row and column", () -> new PixelImages(1, 0, 2, 3, new byte[0]));
        PixelImages two = counting(2, 1, 1, 1);
        assertMessage("no image 2: indices run from 0 to 1", () -> two.select(2));
        assertMessage("not a range of the 2 images", () -> two.range(1, 3));
        assertMessage("got [2, 3]", () -> PixelImages.fromUnit(Nd4j.zeros(2, 3)));
        assertMessage(
                "Value 1 of the images is not a number",
                () -> PixelImages.fromUnit(Nd4j.createFromArray(0f, Float.NaN).reshape(1, 1, 1, 2)));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }

    @Test
    void greyAsPillowMakesIt() {
        // what Pillow 11 gives for these four colours
        byte[] pixels = {
            (byte) 255, 10, 1, (byte) 250, // red
            (byte) 255, (byte) 200, 2, 0, // green
            (byte) 255, 30, 3, 77 // blue
        };
        PixelImages colours = new PixelImages(1, 3, 2, 2, pixels);
        PixelImages grey = colours.toGrey();
        assertEquals(new PixelImages(1, 1, 2, 2, new byte[] {(byte) 255, 124, 2, 84}), grey);
        assertSame(grey, grey.toGrey());
        assertSame(colours, colours.toColour());
        PixelImages twice = new PixelImages(2, 1, 1, 2, new byte[] {1, 2, 3, 4}).toColour();
        assertEquals(new PixelImages(2, 3, 1, 2, new byte[] {1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4}), twice);
        assertEquals(new PixelImages(2, 1, 1, 2, new byte[] {1, 2, 3, 4}), twice.toGrey());
        PixelImages other = new PixelImages(1, 2, 1, 1, new byte[2]);
        assertThrows(IllegalStateException.class, other::toGrey);
        assertThrows(IllegalStateException.class, other::toColour);
    }
}
