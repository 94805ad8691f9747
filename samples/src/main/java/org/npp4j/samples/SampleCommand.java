package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import org.npp4j.llamagen.tokenizer.VqConfig;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp sample}: draws images with a trained GPT. */
@Command(
        name = "sample",
        description = {
            "Draws images with a trained GPT: token ids as tokens.npy (int64 [images, tokens]), their classes as"
                    + " classes.npy, and, given a tokenizer, a PNG for each image."
        },
        footer = {
            "",
            "Image i depends on the settings, the seed and i alone, not on the batch size. The folder holds what is done"
                    + " at any time; the same command again goes on behind it, with --num-samples raised too. Other"
                    + " settings begin anew and remove what an earlier run left there."
        },
        sortOptions = false)
final class SampleCommand implements Callable<Integer> {
    private static final double GUIDANCE_OF_CLASSES = 1.5;
    private static final double GUIDANCE_OF_CAPTIONS = 7.5;
    private static final int RANDOM_SAMPLES = 16;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--gpt-ckpt",
            required = true,
            paramLabel = "FILE",
            description = "The model: PyTorch (.pt), safetensors, or Deeplearning4j (.zip).")
    private Path checkpoint;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "JSON that describes the model. Default: told from the file.")
    private Path config;

    @Option(
            names = "--gpt-model",
            paramLabel = "NAME",
            description = "Published size of the model, such as GPT-B. Default: told from the file.")
    private String model;

    @Option(
            names = "--ema",
            description = "Take the moving average (\"ema\") of a PyTorch file in place of the weights.")
    private boolean average;

    @Option(
            names = "--vq-ckpt",
            paramLabel = "FILE",
            description =
                    "The tokenizer that makes pictures of the tokens: a VQ tokenizer (.pt, .safetensors), or a block"
                            + " codebook such as the quickstart's codebook.json.")
    private Path tokenizerFile;

    @Option(
            names = "--vq-config",
            paramLabel = "FILE",
            description = "JSON that describes the VQ tokenizer. Default: told from its tensors.")
    private Path tokenizerConfig;

    @Option(
            names = {"--num-samples", "--num-fid-samples"},
            paramLabel = "N",
            description = "Images to draw. Default: one for each class or caption given, else 16.")
    private Integer samples;

    @Option(
            names = "--classes",
            split = ",",
            paramLabel = "ID",
            description = "Classes, over and over: 0,1,.. Default: random ones.")
    private int[] classes;

    @Option(
            names = "--captions",
            paramLabel = "FILE",
            description = "For models of captions: vectors of a text encoder, .npy, float32 [k, vectors, width]; over"
                    + " and over.")
    private Path captionFile;

    @Option(
            names = "--caption-masks",
            paramLabel = "FILE",
            description = "Which of these vectors count, .npy [k, vectors], 1 or 0. Default: all.")
    private Path maskFile;

    @Option(
            names = "--cfg-scale",
            paramLabel = "S",
            description = "Classifier-free guidance, at least 1 (none). Default: 1.5, with captions 7.5.")
    private Double scale;

    @Option(
            names = "--cfg-interval",
            paramLabel = "K",
            defaultValue = "-1",
            description = "Guide the first K + 2 tokens of an image alone; -1 for all. Default: ${DEFAULT-VALUE}.")
    private int interval;

    @Option(
            names = "--temperature",
            paramLabel = "T",
            defaultValue = "1.0",
            description = "Above 0; below 1 sharpens. Default: ${DEFAULT-VALUE}.")
    private double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "K",
            defaultValue = "0",
            description = "Draw from the K most likely tokens; 0 for all. Default: ${DEFAULT-VALUE}.")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            defaultValue = "1.0",
            description = "Draw from the most likely tokens that together hold P of the probability."
                    + " Default: ${DEFAULT-VALUE}.")
    private double topP;

    @Option(names = "--greedy", description = "Always take the most likely token.")
    private boolean greedy;

    @Option(
            names = {"--seed", "--global-seed"},
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of the draws and of random classes. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = {"--batch-size", "--per-proc-batch-size"},
            paramLabel = "B",
            defaultValue = "8",
            description = "Images drawn at a time. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--npz",
            description = "At the end write all pictures as samples.npz too: arr_0, uint8 [images, H, W, C], which npp"
                    + " evaluate and the published evaluator take.")
    private boolean npz;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/sample",
            description = "Folder for the files. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    SampleCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireUsable();
        Guidance guidance = guidance();
        TokenSamplers samplers = samplers();
        backend.get();
        try (PeakMemory memory = new PeakMemory();
                GptDecoder decoder = new GptDecoder(load())) {
            ImageTokenizer tokenizer = tokenizer(decoder);
            if (guidance.scale() > 1 && !decoder.guidable()) {
                throw usage("The model has no row for \"no class\", which guidance needs: --cfg-scale must be 1");
            }
            SampleConditions conditions = conditions(decoder);
            SampleFiles files = SampleFiles.open(
                    out,
                    tokenizer,
                    settings(guidance),
                    conditions,
                    decoder.grid().tokens());
            draw(decoder, conditions, guidance, samplers, files, memory);
        }
        return 0;
    }

    private void draw(
            GptDecoder decoder,
            SampleConditions conditions,
            Guidance guidance,
            TokenSamplers samplers,
            SampleFiles files,
            PeakMemory memory)
            throws IOException {
        int count = count();
        int first = files.count();
        int tokens = decoder.grid().tokens();
        try (SamplingProgress progress = new SamplingProgress(Math.min(first, count), count, tokens)) {
            while (files.count() < count) {
                int batch = Math.min(batchSize, count - files.count());
                long before = (long) (files.count() - first) * tokens;
                int[][] ids = conditions.draw(
                        decoder,
                        files.count(),
                        batch,
                        guidance,
                        samplers,
                        position -> progress.update(before + (long) position * batch));
                files.add(ids);
            }
            String line = String.format(
                    Locale.ROOT,
                    "%d images of %d tokens in %.1f s, %.1f tokens/s, peak memory %.2f GiB: %s",
                    files.count() - first,
                    tokens,
                    progress.seconds(),
                    progress.tokensPerSecond(),
                    memory.gib(),
                    files.summary());
            progress.close();
            spec.commandLine()
                    .getOut()
                    .println(first == 0 ? line : line + " (" + first + " images were there already)");
            spec.commandLine().getOut().flush();
        }
        if (npz) {
            try (WorkProgress progress = new WorkProgress("npz")) {
                Path file = files.pictures(count, progress::update);
                spec.commandLine().getOut().println("All " + count + " pictures for npp evaluate: " + file);
                spec.commandLine().getOut().flush();
            }
        }
    }

    private void requireUsable() throws IOException {
        if (config != null && model != null) {
            throw usage("--config and --gpt-model exclude each other");
        }
        if (samples != null && samples < 1) {
            throw usage("--num-samples must be at least 1, but is " + samples);
        }
        if (batchSize < 1) {
            throw usage("--batch-size must be at least 1, but is " + batchSize);
        }
        if (classes != null && captionFile != null) {
            throw usage("--classes and --captions exclude each other");
        }
        if (maskFile != null && captionFile == null) {
            throw usage("--caption-masks needs --captions");
        }
        if (tokenizerConfig != null && tokenizerFile == null) {
            throw usage("--vq-config needs --vq-ckpt");
        }
        if (npz && tokenizerFile == null) {
            throw usage("--npz needs pictures: give --vq-ckpt");
        }
        if (tokenizerFile != null && !Files.exists(tokenizerFile)) {
            throw usage("--vq-ckpt: there is no file " + tokenizerFile);
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
        if (!Files.exists(checkpoint)) {
            throw usage("--gpt-ckpt: there is no file " + checkpoint);
        }
    }

    private Guidance guidance() {
        double given = scale != null ? scale : captionFile != null ? GUIDANCE_OF_CAPTIONS : GUIDANCE_OF_CLASSES;
        try {
            return new Guidance(given, interval);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private TokenSamplers samplers() {
        try {
            TokenSamplers random = TokenSamplers.random(temperature, topK, topP, seed);
            return greedy ? TokenSamplers.greedy() : random;
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private ComputationGraph load() throws IOException {
        if (NetworkZip.isNetwork(checkpoint)) {
            if (config != null || model != null || average) {
                throw usage(
                        "A Deeplearning4j file describes itself: --config, --gpt-model and --ema do not go with it");
            }
            return NetworkZip.load(checkpoint, false);
        }
        try (TensorFile file = TensorFile.open(checkpoint)) {
            GptCheckpoint stored = GptCheckpoint.of(file);
            if (average) {
                stored = stored.average().orElseThrow(() -> usage("--ema: " + checkpoint + " holds no moving average"));
            }
            GptSpec spec = spec(stored);
            // before memory is taken for a model that it does not fit
            stored.requireFits(spec);
            ComputationGraph network = LlamaGen.of(spec).init(Nd4j.create(DataType.FLOAT, 1, spec.parameters()));
            stored.loadInto(network);
            return network;
        }
    }

    private GptSpec spec(GptCheckpoint stored) throws IOException {
        if (config != null) {
            return GptConfig.read(config).spec();
        }
        if (model == null) {
            return stored.spec();
        }
        GptSize size;
        try {
            size = GptSize.named(model);
        } catch (IllegalArgumentException e) {
            throw usage("--gpt-model: " + e.getMessage());
        }
        return stored.spec(size);
    }

    /** The tokenizer for images of the model's grid, or null. */
    private ImageTokenizer tokenizer(GptDecoder decoder) throws IOException {
        if (tokenizerFile == null) {
            return null;
        }
        VqConfig sizes = tokenizerConfig == null ? null : VqConfig.read(tokenizerConfig);
        ImageTokenizer tokenizer = TokenizerFile.load(tokenizerFile, sizes, decoder.grid());
        requireFits(tokenizer, decoder);
        return tokenizer;
    }

    private void requireFits(ImageTokenizer tokenizer, GptDecoder decoder) {
        if (!tokenizer.grid().equals(decoder.grid()) || tokenizer.vocabulary() < decoder.vocabulary()) {
            throw usage("The model draws " + decoder.vocabulary() + " codes on a " + decoder.grid()
                    + ", the tokenizer of --vq-ckpt has " + tokenizer.vocabulary() + " codes on a "
                    + tokenizer.grid());
        }
    }

    private SampleConditions conditions(GptDecoder decoder) throws IOException {
        if (decoder.textConditional()) {
            if (captionFile == null) {
                throw usage("The model draws images of captions: give --captions FILE.npy");
            }
            INDArray captions = NpyFile.read(captionFile);
            INDArray mask = maskFile == null ? null : NpyFile.read(maskFile);
            decoder.requireCaptions(captions, mask);
            if (samples == null) {
                samples = (int) captions.size(0);
            }
            return SampleConditions.ofCaptions(captions, mask);
        }
        if (captionFile != null) {
            throw usage("The model draws images of classes: give --classes, not --captions");
        }
        if (classes == null) {
            return SampleConditions.ofRandomClasses(decoder.classes(), seed);
        }
        decoder.requireKnown(classes);
        return SampleConditions.ofClasses(classes);
    }

    private int count() {
        return samples != null ? samples : classes != null ? classes.length : RANDOM_SAMPLES;
    }

    /** Everything that decides an image. */
    private SortedMap<String, String> settings(Guidance guidance) throws IOException {
        SortedMap<String, String> settings = new TreeMap<>();
        settings.put("gpt-ckpt", file(checkpoint));
        settings.put("config", config == null ? String.valueOf(model) : file(config));
        settings.put("ema", String.valueOf(average));
        settings.put("vq-ckpt", tokenizerFile == null ? "none" : file(tokenizerFile));
        settings.put("vq-config", tokenizerConfig == null ? "none" : file(tokenizerConfig));
        settings.put("classes", classes == null ? "random" : Arrays.toString(classes));
        settings.put("captions", captionFile == null ? "none" : file(captionFile));
        settings.put("caption-masks", maskFile == null ? "none" : file(maskFile));
        settings.put("cfg-scale", String.valueOf(guidance.scale()));
        settings.put("cfg-interval", String.valueOf(guidance.lastGuidedStep()));
        settings.put("draws", greedy ? "greedy" : "temperature " + temperature + ", top-k " + topK + ", top-p " + topP);
        settings.put("seed", String.valueOf(seed));
        return settings;
    }

    /** A file that has been written anew is another one. */
    private static String file(Path file) throws IOException {
        return file.toAbsolutePath().normalize() + ", " + Files.size(file) + " bytes of "
                + Files.getLastModifiedTime(file);
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
