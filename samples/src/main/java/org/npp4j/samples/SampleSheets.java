package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.schedule.WeightAverage;

/** Draws the same images of the same classes again and again while a model learns, with its weights and their average. */
final class SampleSheets {
    private static final int COLUMNS = 8;
    private static final int GAP = 2;
    /** Small images are enlarged to about so many pixels. */
    private static final int PIXELS = 56;
    /** Pictures in the report: the newest and some before. */
    private static final int SHOWN = 4;

    private final Path folder;
    private final int[] classes;
    private final String settings;
    private final Drawing drawing;

    /** Draws images with a network. */
    @FunctionalInterface
    interface Drawing {
        /**
         * Draws, the same images every time but for the weights.
         *
         * @param network that is trained
         * @param classes to draw
         * @return an image of each
         */
        PixelImages draw(ComputationGraph network, int[] classes);
    }

    /**
     * Sheets of a run.
     *
     * @param folder they go to
     * @param classes of the images of a sheet
     * @param settings of the draws in words
     * @param drawing draws them
     */
    SampleSheets(Path folder, int[] classes, String settings, Drawing drawing) {
        this.folder = folder;
        this.classes = classes.clone();
        this.settings = settings;
        this.drawing = drawing;
    }

    /** {@return the classes of so many images, spread over all} */
    static int[] spread(int images, int classes) {
        int[] spread = new int[images];
        for (int i = 0; i < images; i++) {
            spread[i] = (int) ((long) i * classes / images);
        }
        return spread;
    }

    /** Draws one sheet with the weights, and one with their average. */
    void draw(Trainer trainer) throws IOException {
        write(trainer.network(), trainer.step(), "");
        if (trainer.average().isPresent()) {
            try (WeightAverage.Swap ignored = trainer.average().get().applyTo(trainer.network())) {
                write(trainer.network(), trainer.step(), "-ema");
            }
        }
    }

    private void write(ComputationGraph network, int step, String suffix) throws IOException {
        PixelImages images = drawing.draw(network, classes);
        byte[] png = new PngSheet.Builder()
                .columns(COLUMNS)
                .gap(GAP)
                .scale(Math.max(1, PIXELS / images.height()))
                .build()
                .toPng(images);
        AtomicFile.write(folder.resolve(String.format("step-%09d%s.png", step, suffix)), png);
    }

    /** {@return the newest sheets and some before them, oldest first} */
    List<SampleSheet> latest() throws IOException {
        List<SampleSheet> sheets = new ArrayList<>();
        addSome("", "Step %,d", sheets);
        addSome("-ema", "Step %,d, average of the weights", sheets);
        return sheets;
    }

    private void addSome(String suffix, String title, List<SampleSheet> sheets) throws IOException {
        if (!Files.isDirectory(folder)) {
            return;
        }
        List<Path> files;
        try (Stream<Path> all = Files.list(folder)) {
            files = all.filter(file -> file.getFileName().toString().matches("step-\\d{9}" + suffix + "\\.png"))
                    .sorted()
                    .toList();
        }
        int shown = Math.min(SHOWN, files.size());
        for (int i = 1; i <= shown; i++) {
            Path file = files.get(i * files.size() / shown - 1);
            String name = file.getFileName().toString();
            int step = Integer.parseInt(name.substring("step-".length(), "step-".length() + 9));
            String text = String.format(Locale.ROOT, title, step);
            sheets.add(new SampleSheet(
                    text, name, "Images that the model drew after step " + step, Files.readAllBytes(file)));
        }
    }

    /** {@return what the sheets show} */
    String note() {
        List<String> ids = new ArrayList<>();
        for (int id : classes) {
            ids.add(Integer.toString(id));
        }
        return "Classes " + String.join(", ", ids) + ", " + settings + ", the same seed every time.";
    }
}
