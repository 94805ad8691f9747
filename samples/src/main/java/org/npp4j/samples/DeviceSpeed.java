package org.npp4j.samples;

import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.Job;
import org.npp4j.samples.bench.Timings;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/**
 * Operations a second of this device, measured in a quarter of a minute by the jobs of {@code npp bench}.
 *
 * @param source how they were measured
 * @param training by patch side
 * @param sampling of a batch
 * @param encoding of images into codes
 * @param decoding of codes into images
 * @param bf16 whether training computes products in bfloat16
 */
record DeviceSpeed(
        String source, Map<Integer, Double> training, double sampling, double encoding, double decoding, boolean bf16) {
    /** Blocks of the model that is timed; each block costs the same. */
    private static final int LAYERS = 2;

    private static final int BATCH = 4;
    private static final int SAMPLING_BATCH = 32;
    private static final int STEPS = 2;
    private static final int TOKENS = 8;
    private static final int GRID = 16;
    private static final double GUIDED = 2;

    /** Measures a device. */
    @FunctionalInterface
    interface Meter {
        /**
         * Measures.
         *
         * @param size of the model
         * @param plan patch sides that are trained with
         * @param progress told what is done
         * @return operations a second
         */
        DeviceSpeed measure(GptSize size, PatchStages plan, Consumer<String> progress);
    }

    /** Measures this device; afterwards products are in single precision. */
    static DeviceSpeed measure(GptSize size, PatchStages plan, Consumer<String> progress) {
        boolean bf16 = true;
        try {
            Products.setPrecision(Precision.BF16);
        } catch (IllegalStateException e) {
            bf16 = false;
        }
        Map<Integer, Double> training = new TreeMap<>();
        GptSpec spec = GptSpec.of(LAYERS, size.heads(), size.width()).build();
        String arithmetic = Products.description();
        try {
            for (PatchStages.Stage stage : plan.stages()) {
                int side = stage.patchSide();
                training.put(side, stepOperations(spec, side) / median(Job.TRAIN, size.label(), side, BATCH, progress));
            }
        } finally {
            Products.setPrecision(Precision.FLOAT);
        }
        double position = stepOperations(spec, 1) / 3 / BATCH / spec.grid().tokens() * SAMPLING_BATCH * GUIDED;
        double sampling = position / median(Job.SAMPLE, size.label(), 1, SAMPLING_BATCH, progress);
        VqConfig vq = VqConfig.VQ_16;
        int pixels = GRID * vq.downsampling();
        double encoding = vq.encodeOperations(pixels, pixels) / median(Job.ENCODE, "VQ-16", 1, 1, progress);
        double decoding = vq.decodeOperations(pixels, pixels) / median(Job.DECODE, "VQ-16", 1, 1, progress);
        return new DeviceSpeed(
                String.format(
                        Locale.ROOT,
                        "measured just now: steps of %d of the %d blocks at batch %d (%s), tokens at batch %d, one image"
                                + " through VQ-16; times grow with the operations%s",
                        LAYERS,
                        size.layers(),
                        BATCH,
                        arithmetic,
                        SAMPLING_BATCH,
                        load()),
                training,
                sampling,
                encoding,
                decoding,
                bf16);
    }

    /** Other programs make times longer. */
    private static String load() {
        int processors = Runtime.getRuntime().availableProcessors();
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        return load <= processors + 1
                ? ""
                : String.format(
                        Locale.ROOT,
                        ". Other programs were running (load %.1f on %d processors): alone it is faster",
                        load,
                        processors);
    }

    /** Operations of a training step of BATCH images, forward and backward. */
    private static double stepOperations(GptSpec spec, int patchSide) {
        PatchStages one = PatchStages.iterations().stage(patchSide, 1).build();
        return TrainingCost.of(LlamaGen.of(spec).patchSide(patchSide).build(), one, BATCH)
                .operations();
    }

    private static double median(Job job, String model, int patch, int batch, Consumer<String> progress) {
        boolean vq = job == Job.ENCODE || job == Job.DECODE;
        BenchSettings settings = new BenchSettings(
                job, model, vq ? 0 : LAYERS, batch, patch, GRID, vq ? 1 : STEPS, TOKENS, GUIDED, false);
        Timings timings = job.benchmark().run(settings.sizes(), settings, line -> {});
        progress.accept(String.format(
                Locale.ROOT, "Measured %s%s: %.3f s", job, patch > 1 ? " at p = " + patch : "", timings.median()));
        return timings.median();
    }
}
