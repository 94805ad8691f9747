package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.samples.report.DrawnScores;
import org.npp4j.samples.report.EcarResult;
import org.npp4j.samples.report.QuickstartReport;
import org.npp4j.samples.report.ReportPage;
import org.npp4j.samples.report.SampleSheet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp quickstart}: trains the same small GPT with and without Next Patch Prediction and compares them. */
@Command(
        name = "quickstart",
        description = {
            "Trains a small GPT twice on pictures of clothes, with next-token and with Next Patch Prediction, and"
                    + " writes report.html and report.json with pictures that both drew and what each cost."
        },
        footer = {"", "Takes a few minutes on two processor cores."},
        sortOptions = false)
final class QuickstartCommand implements Callable<Integer> {
    private static final String LOG_FILE = "run.log";

    private final QuickstartRun training;
    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "Folder of an image set in IDX files, such as Fashion-MNIST. Default: the subset of it that"
                    + " comes along.")
    private Path data;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/quickstart",
            description = "Folder for reports, pictures and models; files of an earlier run are replaced. Default:"
                    + " ${DEFAULT-VALUE}.")
    private Path out;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "6",
            description = "Epochs of each model, at least 2. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of data order, weights, dropout and drawing. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--ecar",
            description = "Train an ECAR, too, on the same images: stage-wise continuous tokens with a flow, a"
                    + " reconstruction. Takes about five minutes more.")
    private boolean ecar;

    @Option(
            names = "--ecar-epochs",
            paramLabel = "N",
            defaultValue = "8",
            description = "Epochs of the ECAR. Default: ${DEFAULT-VALUE}.")
    private int ecarEpochs;

    @Mixin
    private StandardOptions standardOptions;

    QuickstartCommand(QuickstartRun training, Supplier<Backend> backend) {
        this.training = training;
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireUsable();
        Files.createDirectories(out);
        requireWritable(out);
        try (RunLog log = RunLog.open(out.resolve(LOG_FILE));
                PeakMemory memory = new PeakMemory()) {
            try {
                run(memory);
            } catch (IOException | RuntimeException | Error e) {
                log.failed(e);
                throw e;
            }
        }
        return 0;
    }

    private void run(PeakMemory memory) throws IOException {
        Instant started = Instant.now();
        Backend machine = backend.get();
        log().info("{}", machine);
        QuickstartRun.Result result =
                training.run(new QuickstartSettings(data, out, epochs, seed, ecar ? ecarEpochs : 0));

        Map<String, String> pictures = new LinkedHashMap<>();
        for (SampleSheet sheet : result.sheets()) {
            AtomicFile.write(out.resolve(sheet.file()), sheet.png());
            pictures.put(sheet.title(), sheet.file());
        }
        if (result.ecar() != null) {
            SampleSheet sheet = result.ecar().sheet();
            AtomicFile.write(out.resolve(sheet.file()), sheet.png());
            pictures.put(sheet.title(), sheet.file());
        }
        QuickstartReport report = new QuickstartReport(
                result.ntp(),
                result.npp(),
                QuickstartReport.Ratio.of(result.npp(), result.ntp()),
                memory.gib(),
                Duration.between(started, Instant.now()).toMillis() / 1e3,
                result.data(),
                settings(result),
                machine.environment(started, spec),
                result.determinism(),
                pictures,
                result.ecar());
        AtomicFile.writeText(out.resolve("report.json"), report.toJson());
        AtomicFile.writeText(out.resolve("report.html"), ReportPage.render(report, result.sheets()));
        spec.commandLine().getOut().println(summary(report));
        spec.commandLine().getOut().flush();
    }

    private void requireUsable() {
        if (epochs < 2) {
            throw usage("--epochs must be at least 2, one for each stage of NPP, but is " + epochs);
        }
        if (ecarEpochs < 1) {
            throw usage("--ecar-epochs must be at least 1, but is " + ecarEpochs);
        }
        if (data != null && !Files.isDirectory(data)) {
            throw usage("--data must be a folder with IDX files, but " + data
                    + (Files.exists(data) ? " is a file" : " does not exist"));
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
    }

    /** Fails now and not after minutes of training. */
    private static void requireWritable(Path folder) throws IOException {
        Path probe = folder.resolve(".npp-" + ProcessHandle.current().pid() + ".probe");
        AtomicFile.write(probe, new byte[] {0});
        Files.delete(probe);
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    private Map<String, Object> settings(QuickstartRun.Result result) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("epochs", epochs);
        settings.put("seed", seed);
        settings.putAll(result.settings());
        return settings;
    }

    private String summary(QuickstartReport report) {
        return String.format(
                Locale.ROOT,
                "%n%-6s %10s %12s %22s%n%-6s %8.1f s %12.0f %22.3f%n%-6s %8.1f s %12.0f %22.3f%n%-6s %10.3f %12.3f%n%s%s%n"
                        + "Report: %s",
                "",
                "training",
                "GFLOP",
                "test nats per token",
                "NTP",
                report.ntp().trainSeconds(),
                report.ntp().trainGflop(),
                report.ntp().testNllPerToken(),
                "NPP",
                report.npp().trainSeconds(),
                report.npp().trainGflop(),
                report.npp().testNllPerToken(),
                "ratio",
                report.ratio().trainSeconds(),
                report.ratio().trainGflop(),
                drawn(report.ntp().drawn(), report.npp().drawn()),
                drawn(report.ecar()),
                out.resolve("report.html"));
    }

    private static String drawn(DrawnScores ntp, DrawnScores npp) {
        return ntp == null || npp == null
                ? ""
                : String.format(
                        Locale.ROOT,
                        "%nFID(%s): NTP %.2f, NPP %.2f; of the class asked for: NTP %.1f %%, NPP %.1f %% (test images:"
                                + " %.1f %%)%n",
                        ntp.network(),
                        ntp.fid(),
                        npp.fid(),
                        100 * ntp.classifierAgreement(),
                        100 * npp.classifierAgreement(),
                        100 * ntp.referenceAgreement());
    }

    private static String drawn(EcarResult ecar) {
        if (ecar == null) {
            return "";
        }
        String trained = String.format(
                Locale.ROOT,
                "%nECAR (a reconstruction): training %.1f s, %.0f GFLOP, test velocity loss %.4f%n",
                ecar.trainSeconds(),
                ecar.trainGflop(),
                ecar.averageTestLoss());
        return ecar.drawn() == null
                ? trained
                : trained
                        + String.format(
                                Locale.ROOT,
                                "FID(%s) %.2f; of the class asked for: %.1f %%%n",
                                ecar.drawn().network(),
                                ecar.drawn().fid(),
                                100 * ecar.drawn().classifierAgreement());
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(QuickstartCommand.class);
    }
}
