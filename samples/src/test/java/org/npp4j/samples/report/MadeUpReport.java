package org.npp4j.samples.report;

import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import javax.imageio.ImageIO;

/** A report with invented figures and pictures of random shapes, for tests and for looking at the page. */
final class MadeUpReport {
    private static final List<String> CLASSES = List.of(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "<b>Bag</b> & \"purse\"",
            "Ankle boot's \u2028 </script>");

    private MadeUpReport() {}

    /** Writes the page to the file named first, to look at it. */
    public static void main(String[] args) throws IOException {
        Files.writeString(Path.of(args[0]), ReportPage.render(report(), sheets()));
    }

    static QuickstartReport report() {
        TrainedModel ntp = model(1, List.of(stage(1, 0, 6, 103.2, 3_840_000, 4321)), 103.2, 1.392, "ntp.zip");
        TrainedModel npp = model(
                2,
                List.of(stage(2, 0, 3, 15.1, 480_000, 541), stage(1, 3, 6, 51.7, 1_920_000, 2161)),
                66.8,
                1.453,
                "npp.zip");
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("epochs", 6);
        settings.put("seed", 0L);
        settings.put("batch_size", 64);
        settings.put("learning_rate", 0.002);
        settings.put("note", "<script>alert('x')</script> & more");
        Map<String, String> versions = new LinkedHashMap<>();
        versions.put("NPP", "0.1.0-SNAPSHOT");
        versions.put("Deeplearning4j", "1.0.0-M2.1");
        versions.put("Java", "17.0.15");
        return new QuickstartReport(
                ntp,
                npp,
                QuickstartReport.Ratio.of(npp, ntp),
                1.87,
                231.4,
                new QuickstartReport.Data("Made up", "9f86d081".repeat(8), 10_000, 2_000, 64, 256, 0.0053, CLASSES),
                settings,
                new RunEnvironment(
                        "2026-01-01T12:00:00Z",
                        "npp quickstart --out \"a & b\"",
                        versions,
                        "Linux 6.1 amd64",
                        2,
                        1.0,
                        "CPU",
                        "OPENBLAS",
                        2,
                        2,
                        ""),
                "With the same seed on the same machine the losses and pictures repeat; times do not.",
                Map.of("NTP", "ntp.png", "NPP", "npp.png", "Real images", "real.png"),
                new EcarResult(
                        "A <reconstruction>.",
                        "ECAR: 3 stages",
                        Map.of("batch_size", 64),
                        1_000_000,
                        8,
                        250,
                        30_000,
                        80_000,
                        0.2456,
                        0.2345,
                        1.7,
                        0.02,
                        "ecar.pt",
                        ntp.drawn(),
                        new SampleSheet("ECAR", "ecar.png", "Ten images of each class drawn by the ECAR", picture(4))));
    }

    static List<SampleSheet> sheets() {
        return List.of(
                new SampleSheet("Real images", "real.png", "Ten real images of each class", picture(1)),
                new SampleSheet("NTP", "ntp.png", "Ten images of each class drawn by \"NTP\" <model>", picture(2)),
                new SampleSheet("NPP", "npp.png", "Ten images of each class drawn by NPP", picture(3)));
    }

    private static TrainedModel.Stage stage(
            int patchSide, double from, double to, double seconds, long positions, double gflop) {
        return new TrainedModel.Stage(patchSide, from, to, seconds, positions, gflop, 1.4);
    }

    private static TrainedModel model(
            int seed, List<TrainedModel.Stage> stages, double seconds, double nll, String file) {
        Random random = new Random(seed);
        LossCurve.Recorder curve = new LossCurve.Recorder(5);
        double time = 0;
        long images = 0;
        for (TrainedModel.Stage stage : stages) {
            int iterations = (int) Math.round((stage.toEpoch() - stage.fromEpoch()) * 156);
            for (int i = 0; i < iterations; i++) {
                time += stage.seconds() / iterations;
                images += 64;
                double floor = stage.patchSide() == 1 ? 1.4 : 2.3;
                curve.add(
                        time,
                        images,
                        floor + 4 * Math.exp(-images / 6000.0) + 0.05 * random.nextGaussian(),
                        stage.patchSide());
            }
        }
        return new TrainedModel(
                seconds,
                stages.stream().mapToDouble(TrainedModel.Stage::gflop).sum(),
                images,
                stages.stream().mapToLong(TrainedModel.Stage::positions).sum(),
                images * 64,
                nll,
                Math.exp(nll),
                402_000,
                stages,
                curve.curve(),
                file,
                new DrawnScores("cnn-made-up", "5e884898".repeat(8), 500, 2_000, 31.4 + seed, 0.9 - 0.01 * seed, 0.92));
    }

    private static byte[] picture(int seed) {
        Random random = new Random(seed);
        BufferedImage image = new BufferedImage(320, 320, BufferedImage.TYPE_BYTE_GRAY);
        Graphics2D graphics = image.createGraphics();
        for (int row = 0; row < 10; row++) {
            for (int column = 0; column < 10; column++) {
                graphics.setColor(new Color(random.nextInt(0x1000000)));
                graphics.fillOval(column * 32 + random.nextInt(8), row * 32 + random.nextInt(8), 16 + row, 24 - row);
            }
        }
        graphics.dispose();
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        try {
            ImageIO.write(image, "png", png);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return png.toByteArray();
    }
}
