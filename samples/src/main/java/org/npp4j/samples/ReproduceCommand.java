package org.npp4j.samples;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.samples.reproduce.Ingredient;
import org.npp4j.samples.reproduce.Ingredient.State;
import org.npp4j.samples.reproduce.Ingredients;
import org.npp4j.samples.reproduce.PublishedResult;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp reproduce}: what a published result needs, what is there, and the steps to it. */
@Command(
        name = "reproduce",
        description = {
            "Says what a published result needs, checks what is there, and prints the commands that lead to it with their"
                    + " operations, time and memory on this device. With --run it runs those that can run. With nothing at"
                    + " hand it runs the whole chain at toy scale, which every line says."
        },
        footer = {
            "",
            "Nothing is downloaded. A file SHA256SUMS beside the files, as sha256sum writes it, is compared. reproduce.json"
                    + " in --out holds all that is printed."
        },
        sortOptions = false)
final class ReproduceCommand implements Callable<Integer> {
    /** Where the launcher says that the checkout is. */
    static final String HOME = "npp.home";

    private static final String REPORT = "reproduce.json";

    private final Supplier<Backend> backend;
    private final NppRunner runner;
    private final DeviceSpeed.Meter meter;
    private final ToyReproduction.Settings toySettings;
    private final Path presets;

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "SIZE", description = "Which result: b, l, xl or xxl (ImageNet at 256 x 256 pixels).")
    private String size;

    @Option(
            names = "--have",
            paramLabel = "DIR",
            description = "Folder with what is at hand: tokenizer, GPT, codes or pictures, evaluator's files; also in"
                    + " folders within. Default: nothing.")
    private Path have;

    @Option(
            names = "--run",
            description = "Run the steps that can run, one after the other. Some take days or years: look at the"
                    + " predictions first.")
    private boolean run;

    @Option(
            names = "--toy",
            negatable = true,
            description = "Run the chain at toy scale. Default: if nothing is at hand.")
    private Boolean toy;

    @Option(
            names = "--no-measure",
            description = "Do not measure this device (a quarter of a minute); then no times are predicted.")
    private boolean noMeasure;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/reproduce",
            description = "Folder for everything that is made. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(names = "--json", description = "Print JSON; all else goes to standard error.")
    private boolean json;

    @Mixin
    private StandardOptions standardOptions;

    ReproduceCommand(Supplier<Backend> backend) {
        this(
                backend,
                NppRunner.ofProcesses(),
                DeviceSpeed::measure,
                ToyReproduction.Settings.standard(),
                Path.of(System.getProperty(HOME, ""), "samples", "presets"));
    }

    /**
     * The command.
     *
     * @param backend starts ND4J
     * @param runner of the steps
     * @param meter of the device
     * @param toySettings of the toy chain
     * @param presets folder of the presets
     */
    ReproduceCommand(
            Supplier<Backend> backend,
            NppRunner runner,
            DeviceSpeed.Meter meter,
            ToyReproduction.Settings toySettings,
            Path presets) {
        this.backend = backend;
        this.runner = runner;
        this.meter = meter;
        this.toySettings = toySettings;
        this.presets = presets;
    }

    @Override
    public Integer call() throws IOException {
        PublishedResult result = result();
        if (have != null && !Files.isDirectory(have)) {
            throw usage(
                    "--have must be a folder, but " + have + (Files.exists(have) ? " is a file" : " does not exist"));
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
        Files.createDirectories(out);
        Backend machine = backend.get();
        Map<String, Object> report = new LinkedHashMap<>();
        published(result, report);
        Ingredients found = look(result);
        describe(found, result, report);
        Reproduction reproduction =
                new Reproduction(result, shownFrom(presets), out, measured(result, machine, report));
        List<ReproductionStep> steps = reproduction.steps(found);
        describe(steps, reproduction, found.nothing());
        int code = run ? run(reproduction, result, report) : 0;
        report.put(
                "steps",
                (run ? reproduction.steps(look(result)) : steps)
                        .stream().map(ReproductionStep::toMap).toList());
        if (code == 0 && (toy == null ? found.nothing() : toy)) {
            say("");
            report.put(
                    "toy",
                    new ToyReproduction(toySettings, out.resolve("toy"), runner, this::say).run(result.guidance()));
        }
        report.put("created", Instant.now().toString());
        report.put("versions", Versions.all());
        String text =
                new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(report);
        AtomicFile.writeText(out.resolve(REPORT), text + "\n");
        if (json) {
            spec.commandLine().getOut().println(text);
            spec.commandLine().getOut().flush();
        } else {
            say((report.containsKey("toy") ? ToyReproduction.MARK : "") + "Report: " + out.resolve(REPORT));
        }
        return code;
    }

    private PublishedResult result() {
        try {
            return PublishedResult.named(size);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    /** Below the folder of the call the presets have the short name that commands are printed with. */
    private static Path shownFrom(Path folder) {
        Path here = Path.of("").toAbsolutePath();
        Path absolute = folder.toAbsolutePath().normalize();
        return absolute.startsWith(here) ? here.relativize(absolute) : absolute;
    }

    private void say(String line) {
        PrintWriter to = json ? spec.commandLine().getErr() : spec.commandLine().getOut();
        to.println(Terminal.printable(line));
        to.flush();
    }

    private void published(PublishedResult result, Map<String, Object> report) {
        say(String.format(
                Locale.ROOT,
                "%s, Next Patch Prediction, ImageNet %d x %d: FID %.2f with a guidance of %.2f, %,d samples (arXiv"
                        + " 2412.15321); LlamaGen's next-token %s: %.2f",
                result.size(),
                PublishedResult.SIDE,
                PublishedResult.SIDE,
                result.fid(),
                result.guidance(),
                PublishedResult.SAMPLES,
                result.size(),
                result.nextTokenFid()));
        say(result.settingsNote());
        Map<String, Object> published = new LinkedHashMap<>();
        published.put("model", result.size().label());
        published.put("fid", result.fid());
        published.put("cfg_scale", result.guidance());
        published.put("samples", PublishedResult.SAMPLES);
        published.put("next_token_fid", result.nextTokenFid());
        published.put("source", "arXiv 2412.15321");
        published.put("settings", result.settingsNote());
        report.put("published", published);
    }

    /** What the user has, and what earlier steps have made. */
    private Ingredients look(PublishedResult result) throws IOException {
        List<Path> folders = new ArrayList<>();
        if (have != null) {
            folders.add(have);
        }
        folders.add(out);
        return Ingredients.in(result, folders, out.resolve("toy"), line -> spec.commandLine()
                .getErr()
                .println(line));
    }

    private void describe(Ingredients found, PublishedResult result, Map<String, Object> report) {
        say("");
        say("Needed, and what " + (have == null ? "--have DIR would hold" : have + " has") + ":");
        for (Ingredient one : found.all()) {
            boolean gpt = one.kind() == Ingredient.Kind.GPT;
            String what = one.kind().title() + (gpt ? " (" + result.size() + ")" : "");
            say(String.format(
                    Locale.ROOT, "  %-8s %s%s", one.state().name().toLowerCase(Locale.ROOT), what, place(one, result)));
            if (one.sha256() != null) {
                say("           SHA-256 " + one.sha256());
            }
            one.notes().forEach(note -> say("           " + Failure.oneLine(note)));
        }
        found.others().forEach(other -> say("  other    " + Failure.oneLine(other)));
        report.put("ingredients", found.all().stream().map(Ingredient::toMap).toList());
        report.put("others", found.others());
    }

    private static String place(Ingredient one, PublishedResult result) {
        if (one.state() != State.MISSING) {
            return ": " + one.path();
        }
        if (one.kind() != Ingredient.Kind.GPT) {
            return ": " + one.kind().file() + " (" + one.kind().size() + "), from "
                    + one.kind().source();
        }
        return String.format(
                Locale.ROOT,
                ": from the training below%s",
                result.nextTokenFile()
                        .map(file -> "; or, by next-token prediction, " + file + " that the LlamaGen repository lists")
                        .orElse("; of this size LlamaGen lists none for 256 pixels"));
    }

    private DeviceSpeed measured(PublishedResult result, Backend machine, Map<String, Object> report)
            throws IOException {
        say("");
        String device = Arithmetic.describe(machine) + ", " + machine.threads() + " threads";
        DeviceSpeed speed = null;
        if (!noMeasure) {
            spec.commandLine().getErr().println("Measuring this device ..");
            speed = meter.measure(
                    result.size(),
                    Reproduction.summary(shownFrom(presets).resolve(result.preset()))
                            .plan()
                            .stages(),
                    line -> spec.commandLine().getErr().println(line));
        }
        say("This device: " + device + (speed == null ? "; not measured" : "; " + speed.source()));
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("computes", device);
        if (speed != null) {
            map.put("source", speed.source());
            map.put("training_operations_per_second_by_patch_side", speed.training());
            map.put("sampling_operations_per_second", speed.sampling());
            map.put("encoding_operations_per_second", speed.encoding());
            map.put("decoding_operations_per_second", speed.decoding());
        }
        report.put("device", map);
        return speed;
    }

    private void describe(List<ReproductionStep> steps, Reproduction reproduction, boolean nothing) {
        say("");
        say("Steps:");
        int number = 1;
        for (ReproductionStep step : steps) {
            String state =
                    switch (step.state()) {
                        case READY -> "can run";
                        case WAITS -> "waits for: " + step.why();
                        case DONE -> "not needed: " + step.why();
                    };
            say(number++ + ". " + step.name() + " (" + state + ")");
            say("   " + NppRunner.shown(step.arguments()));
            say("   predicted: " + step.prediction());
            if (step.name().equals("train")) {
                say("   " + reproduction.training().costNote());
            }
        }
        if (!run && steps.stream().anyMatch(step -> step.state() == ReproductionStep.State.READY)) {
            say("Nothing of this was started; --run runs what can run.");
        } else if (nothing && run) {
            say("Nothing of this can run.");
        }
    }

    /** Each step that can run, once; what it makes may let the next one run. */
    private int run(Reproduction reproduction, PublishedResult result, Map<String, Object> report) throws IOException {
        List<Map<String, Object>> done = new ArrayList<>();
        report.put("ran", done);
        Set<String> tried = new HashSet<>();
        while (true) {
            ReproductionStep next = reproduction.steps(look(result)).stream()
                    .filter(step -> step.state() == ReproductionStep.State.READY && tried.add(step.name()))
                    .findFirst()
                    .orElse(null);
            if (next == null) {
                break;
            }
            say("");
            say(next.name() + ": " + NppRunner.shown(next.arguments()));
            long start = System.nanoTime();
            int code = runner.run(next.arguments(), line -> say("  " + line));
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("step", next.name());
            entry.put("exit_code", code);
            entry.put("seconds", (System.nanoTime() - start) / 1e9);
            done.add(entry);
            if (code != 0) {
                say(next.name() + " ended with exit code " + code + ". The same command goes on with it.");
                return code;
            }
        }
        if (Files.exists(reproduction.scores())) {
            double fid = new ObjectMapper()
                    .readTree(reproduction.scores().toFile())
                    .path("fid")
                    .asDouble(Double.NaN);
            say(String.format(Locale.ROOT, "FID %.2f; published: %.2f", fid, result.fid()));
            report.put("fid", fid);
        }
        return 0;
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
