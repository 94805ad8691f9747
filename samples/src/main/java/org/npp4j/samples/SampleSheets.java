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
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
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
    private final ImageTokenizer tokenizer;
    private final int[] classes;
    private final Guidance guidance;
    private final long seed;

    /**
     * Sheets of a run.
     *
     * @param folder they go to
     * @param tokenizer that makes pictures
     * @param classes of the model
     * @param samples images of a sheet, of classes spread over all
     * @param guidance of the draws
     * @param seed of the draws
     */
    SampleSheets(Path folder, ImageTokenizer tokenizer, int classes, int samples, Guidance guidance, long seed) {
        this.folder = folder;
        this.tokenizer = tokenizer;
        this.guidance = guidance;
        this.seed = seed;
        this.classes = new int[samples];
        for (int i = 0; i < samples; i++) {
            this.classes[i] = (int) ((long) i * classes / samples);
        }
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
        try (GptDecoder decoder = new GptDecoder(network)) {
            int[][] tokens = decoder.generate(
                    classes, decoder.guidable() ? guidance : Guidance.NONE, TokenSamplers.random(1, 0, 1, seed));
            var images = tokenizer.decode(tokens);
            byte[] png = new PngSheet.Builder()
                    .columns(COLUMNS)
                    .gap(GAP)
                    .scale(Math.max(1, PIXELS / images.height()))
                    .build()
                    .toPng(images);
            AtomicFile.write(folder.resolve(String.format("step-%09d%s.png", step, suffix)), png);
        }
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
        return "Classes " + String.join(", ", ids) + ", guidance " + guidance.scale() + ", the same seed every time.";
    }
}
