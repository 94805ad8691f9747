package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarPlan;
import org.npp4j.ecar.EcarSampler;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.StageNoise;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp ecar-sample}: draws images with a model of {@code ecar-train}. */
@Command(
        name = "ecar-sample",
        description = "Draws images with a model that ecar-train has written: a PNG for each, and their classes as"
                + " classes.npy.",
        footer = {
            "",
            "Image i depends on the model, the settings, the seed and i alone; of the batch size nothing but rounding"
                    + " depends."
        },
        sortOptions = false)
final class EcarSampleCommand implements Callable<Integer> {
    /** What the noise of drawn images is for: the same seed gives the same images wherever they are drawn. */
    static final String NOISE = "noise of drawn images";

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--checkpoint",
            required = true,
            paramLabel = "FILE",
            description = "The model, ecar.pt, or the folder of a checkpoint of ecar-train.")
    private Path checkpoint;

    @Option(
            names = "--kl-ckpt",
            paramLabel = "FILE",
            description = "Where the KL autoencoder of the model's latents is now. Default: where it was in training.")
    private Path autoencoder;

    @Option(names = "--ema", description = "Take the moving average in place of the weights.")
    private boolean average;

    @Option(
            names = "--num-samples",
            paramLabel = "N",
            description = "Images to draw. Default: one for each class given, or of the model.")
    private Integer samples;

    @Option(
            names = "--classes",
            split = ",",
            paramLabel = "ID",
            description = "Classes, over and over: 0,1,.. Default: all of the model.")
    private int[] classes;

    @Option(
            names = "--cfg-scale",
            paramLabel = "S",
            defaultValue = "2",
            description = "Classifier-free guidance of the first stage; 1 for none. Default: ${DEFAULT-VALUE}.")
    private double scale;

    @Option(
            names = "--cfg-scale-last",
            paramLabel = "S",
            description = "Guidance of the last stage; those between lie on a line. Default: that of the first.")
    private Double lastScale;

    @Option(
            names = "--steps",
            paramLabel = "N",
            defaultValue = "10",
            description = "Steps of each stage. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--seed", paramLabel = "S", defaultValue = "0", description = "Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--batch-size",
            paramLabel = "B",
            defaultValue = "50",
            description = "Images drawn at a time. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/ecar-sample",
            description = "Folder for the files. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    EcarSampleCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        FlowSampling settings = settings();
        requireUsable();
        backend.get();
        EcarCheckpoint.Model model = model();
        if (model.codec() == null) {
            throw new AppException(checkpoint + " does not say how its latents become images");
        }
        int[] given = classes != null ? classes : allClasses(model.config());
        for (int id : given) {
            if (id < 0 || id > model.config().classes()) {
                throw usage("--classes: the model knows 0 .. " + model.config().classes() + ", where "
                        + model.config().classes() + " is \"no class\", got " + id);
            }
        }
        int count = samples == null ? given.length : samples;
        int[] ids = new int[count];
        Arrays.setAll(ids, i -> given[i % given.length]);
        try (PeakMemory memory = new PeakMemory()) {
            double seconds = draw(model, ids, settings);
            spec.commandLine()
                    .getOut()
                    .printf(
                            Locale.ROOT,
                            "%d images in %.1f s, %.2f images/s, peak memory %.2f GiB: classes.npy, %s to %s in %s%n",
                            count,
                            seconds,
                            count / seconds,
                            memory.gib(),
                            picture(0).getFileName(),
                            picture(count - 1).getFileName(),
                            out);
            spec.commandLine().getOut().flush();
        }
        return 0;
    }

    private EcarCheckpoint.Model model() throws IOException {
        if (!Files.isDirectory(checkpoint)) {
            return EcarCheckpoint.read(checkpoint, average, autoencoder);
        }
        TrainingCheckpoint stored = TrainingCheckpoint.read(checkpoint, EcarPlan::parse);
        ComputationGraph network = stored.loadNetwork();
        if (average) {
            if (!stored.hasAverage()) {
                throw usage("--ema: " + checkpoint + " holds no moving average");
            }
            stored.loadAverage(network).copyTo(network);
        }
        Path codec = checkpoint.toAbsolutePath().normalize().resolve("../..").resolve(EcarTrainCommand.CODEC);
        if (!Files.isRegularFile(codec)) {
            throw new AppException(checkpoint + " is not in the folder of a run: there is no " + codec.normalize());
        }
        return new EcarCheckpoint.Model(((EcarPlan) stored.plan()).model(), network, codec(Files.readString(codec)));
    }

    private LatentCodec codec(String json) throws IOException {
        try {
            return LatentCodec.parse(json, autoencoder);
        } catch (IllegalArgumentException e) {
            throw usage("--kl-ckpt: " + e.getMessage());
        }
    }

    private static int[] allClasses(EcarConfig config) {
        int[] all = new int[config.classes()];
        Arrays.setAll(all, i -> i);
        return all;
    }

    /** Seconds of the drawing alone. */
    private double draw(EcarCheckpoint.Model model, int[] ids, FlowSampling settings) throws IOException {
        PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
        int stepsOfImage = model.config().stages() * settings.steps();
        long nanos = 0;
        try (EcarSampler sampler = new EcarSampler(model.config(), model.network());
                SamplingProgress progress = new SamplingProgress(
                        0, ids.length, model.config().stageLengths().positions())) {
            int tokens = model.config().stageLengths().positions();
            for (int first = 0; first < ids.length; first += batchSize) {
                int[] batch = Arrays.copyOfRange(ids, first, Math.min(ids.length, first + batchSize));
                long before = (long) first * tokens;
                long start = System.nanoTime();
                PixelImages images = model.codec()
                        .decode(sampler.generate(
                                batch,
                                settings,
                                StageNoise.of(model.config(), seed, first, batch.length, NOISE),
                                step -> progress.update(before + (long) batch.length * tokens * step / stepsOfImage)));
                nanos += System.nanoTime() - start;
                for (int i = 0; i < batch.length; i++) {
                    sheet.write(picture(first + i), images.select(i));
                }
            }
        }
        NpyFile.writeInt64(out.resolve("classes.npy"), ids);
        return nanos / 1e9;
    }

    private Path picture(int image) {
        return out.resolve(String.format(Locale.ROOT, "%06d.png", image));
    }

    private FlowSampling settings() {
        try {
            return new FlowSampling(steps, scale, lastScale == null ? scale : lastScale);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void requireUsable() {
        if (samples != null && samples < 1 || batchSize < 1) {
            throw usage("--num-samples and --batch-size must be at least 1");
        }
        if (!Files.exists(checkpoint)) {
            throw usage("--checkpoint: there is no file " + checkpoint);
        }
        if (autoencoder != null && !Files.isRegularFile(autoencoder)) {
            throw usage("--kl-ckpt: there is no file " + autoencoder);
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
