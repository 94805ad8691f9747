package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.NpzFile;

class ImageCropsTest {
    @Test
    void cropsAreThoseOfThePublishedPipeline() throws IOException {
        int cases = 0;
        try (NpzFile golden = NpzFile.open(GoldenImages.file("crops.npz"))) {
            for (String name : golden.names()) {
                String[] parts = name.split("\\.");
                if (parts[1].equals("centre") || parts[1].equals("ten")) {
                    PixelImages picture = GoldenImages.planar(golden.array(parts[0] + ".picture"));
                    PixelImages crops = ImageCrops.centreCrop(picture, Integer.parseInt(parts[2]));
                    if (parts[1].equals("ten")) {
                        crops = ImageCrops.tenCrops(crops, Integer.parseInt(parts[3]));
                    }
                    assertEquals(GoldenImages.planar(golden.array(name)), crops, name);
                    cases++;
                }
            }
        }
        assertEquals(12, cases);
    }

    @Test
    void cropsOfPhotosAreThoseOfPillow() throws IOException {
        Path prep = GoldenImages.shared("fixtures/prep");
        assumeTrue(Files.isDirectory(prep), "needs the pictures in " + prep);
        Map<String, Integer> cases =
                Map.of("coffee-256", 256, "coffee-140", 140, "chelsea-96", 96, "chelsea-310", 310, "camera-64", 64);
        for (Map.Entry<String, Integer> entry : cases.entrySet()) {
            String source = entry.getKey().replaceAll("-.*", ".png");
            PixelImages crop = ImageCrops.centreCrop(ImageFile.read(prep.resolve(source)), entry.getValue());
            assertEquals(ImageFile.read(prep.resolve(entry.getKey() + ".png")), crop, entry.getKey());
        }
        PixelImages centre = ImageFile.read(prep.resolve("coffee-140.png"));
        assertEquals(
                GoldenImages.planar(NpyFile.read(prep.resolve("coffee-140-ten128.npy"))),
                ImageCrops.tenCrops(centre, 128));
    }

    @Test
    void tenCropsAreWhereTheyShouldBe() {
        Random random = new Random(11);
        for (int trial = 0; trial < 100; trial++) {
            int height = 1 + random.nextInt(12);
            int width = 1 + random.nextInt(12);
            int size = 1 + random.nextInt(Math.min(height, width));
            PixelImages image = PillowResamplingTest.random(random, 1, 3, height, width);
            PixelImages crops = ImageCrops.tenCrops(image, size);
            int middle = halfToEven(height - size);
            int centre = halfToEven(width - size);
            int[] tops = {0, 0, height - size, height - size, middle};
            int[] lefts = {0, width - size, 0, width - size, centre};
            for (int crop = 0; crop < 10; crop++) {
                for (int c = 0; c < 3; c++) {
                    for (int y = 0; y < size; y++) {
                        for (int x = 0; x < size; x++) {
                            int column = lefts[crop % 5] + x;
                            assertEquals(
                                    image.pixel(0, c, tops[crop % 5] + y, crop < 5 ? column : width - 1 - column),
                                    crops.pixel(crop, c, y, x));
                        }
                    }
                }
            }
        }
    }

    /** 1/2 -> 0, 3/2 -> 2, 5/2 -> 2. */
    private static int halfToEven(int twice) {
        int half = twice / 2;
        return twice % 2 == 0 || half % 2 == 0 ? half : half + 1;
    }

    @Test
    void withMirror() {
        PixelImages crop = new PixelImages(1, 1, 2, 2, new byte[] {1, 2, 3, 4});
        assertEquals(new PixelImages(2, 1, 2, 2, new byte[] {1, 2, 3, 4, 2, 1, 4, 3}), ImageCrops.withMirror(crop));
    }

    @Test
    void plansOfThePublishedRecipes() {
        assertEquals(new CropPlan(256, 281, true), CropPlan.tenCrops(256, 1.1));
        assertEquals(new CropPlan(256, 268, true), CropPlan.tenCrops(256, 1.05));
        assertEquals(new CropPlan(384, 422, true), CropPlan.tenCrops(384, 1.1));
        assertEquals(new CropPlan(256, 256, false), CropPlan.centreAndMirror(256));
        PixelImages image = PillowResamplingTest.random(new Random(12), 1, 3, 30, 41);
        assertEquals(
                ImageCrops.tenCrops(ImageCrops.centreCrop(image, 22), 20),
                CropPlan.tenCrops(20, 1.1).cut(image));
        assertEquals(
                ImageCrops.withMirror(ImageCrops.centreCrop(image, 20)),
                CropPlan.centreAndMirror(20).cut(image));
        assertEquals(10, CropPlan.tenCrops(20, 1).crops());
        assertEquals(2, CropPlan.centreAndMirror(20).crops());
    }

    /** Enlarging a line of one pixel to 3 rows would make it 3 times as long; only the crop is computed. */
    @Test
    void extremeShapes() {
        PixelImages line = PillowResamplingTest.random(new Random(13), 1, 3, 1, 60_000);
        assertEquals(256, ImageCrops.centreCrop(line, 256).width());
        assertEquals(1, ImageCrops.centreCrop(line, 1).height());
    }

    @Test
    void namesWhatIsWrong() {
        PixelImages image = PillowResamplingTest.random(new Random(14), 1, 3, 5, 6);
        PixelImages two = PillowResamplingTest.random(new Random(14), 2, 3, 6, 6);
        fails("at least 1 pixel, got 0", () -> ImageCrops.centreCrop(image, 0));
        fails("more than 2^31 - 1 bytes", () -> ImageCrops.centreCrop(image, 1_000_000));
        fails("at least 1 pixel, got -1", () -> ImageCrops.tenCrops(image, -1));
        fails("Crops of 6 x 6 pixels do not fit into 5 x 6", () -> ImageCrops.tenCrops(image, 6));
        fails("cut from one image, got 2 x 3 x 6 x 6", () -> ImageCrops.tenCrops(two, 2));
        fails("cut from one image", () -> ImageCrops.withMirror(two));
        fails("must be square", () -> ImageCrops.withMirror(image));
        fails("at least 1 pixel", () -> CropPlan.centreAndMirror(0));
        fails("must be at least 1", () -> CropPlan.tenCrops(256, 0.9));
        fails("must be at least 1", () -> CropPlan.tenCrops(256, Double.NaN));
        fails("less than 2^31", () -> CropPlan.tenCrops(256, 1e9));
        fails("do not fit into a centre crop of 200", () -> new CropPlan(256, 200, true));
        fails("the centre crop is the image", () -> new CropPlan(256, 281, false));
    }

    private static void fails(String message, Runnable action) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, action::run);
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
