package org.npp4j.samples;

import java.io.PrintWriter;
import java.util.List;
import java.util.stream.Stream;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.OwnJvm;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The command line {@code npp}.
 *
 * <p>Exit codes: 0 done, 1 failed, 2 wrong usage. Every failure is one line on standard error, with a stack trace only
 * after {@code --verbose}.
 */
@Command(
        name = "npp",
        description = "Next Patch Prediction for autoregressive image models, on Deeplearning4j.",
        synopsisSubcommandLabel = "COMMAND",
        versionProvider = Versions.class,
        footer = {
            "",
            "The launcher ./npp takes --cuda to run on an NVIDIA GPU, --mkl to compute products with Intel's MKL,"
                    + " and options for the JVM from NPP_JAVA_OPTS"
                    + " (such as -Xmx2g). A program that takes more than " + MemoryGuard.PERCENT
                    + " %% of the memory ends; -D" + MemoryGuard.LIMIT + "=12g there sets another limit."
        })
public final class Npp implements Runnable {
    private static final int FAILED = 1;
    private static final int USAGE = 2;

    @Spec
    private CommandSpec spec;

    @Mixin
    private StandardOptions standardOptions;

    private Npp() {}

    /**
     * Runs a command and exits.
     *
     * @param args command and options
     */
    public static void main(String[] args) {
        if (Terminal.isInteractive()) {
            // Log lines clear the line of a progress bar; read by logback.xml.
            System.setProperty("npp.line", "\r\u001b[K");
        }
        PrintWriter err = new PrintWriter(System.err, true);
        try {
            MemoryGuard.start(why -> {
                err.println("npp: " + why);
                // not exit: a thread that is in the middle of its work would have to cooperate
                Runtime.getRuntime().halt(FAILED);
            });
        } catch (IllegalArgumentException e) {
            System.exit(failed(e, null, false, err));
        }
        System.exit(run(
                List.of(
                        new QuickstartCommand(new QuickstartTraining(), Backend::start),
                        new AddNppCommand(Backend::start, AddNppCommand.IMAGES_PER_CLASS),
                        new AddNppTextCommand(Backend::start, AddNppTextCommand.EXAMPLES),
                        new InspectCommand(Backend::start),
                        new ConvertCommand(Backend::start),
                        new ParityCommand(Backend::start),
                        new BenchCommand(Backend::start, BenchSettings::sizes, () -> OwnJvm.command(Npp.class)),
                        new PrepareCommand(),
                        new ExtractCodesCommand(Backend::start),
                        new CheckCodesCommand(Backend::start),
                        new TrainCommand(Backend::start),
                        new SweepCommand(Backend::start),
                        new TrainTokenizerCommand(Backend::start),
                        new SampleCommand(Backend::start),
                        new EvaluateCommand(Backend::start),
                        new TrainClassifierCommand(Backend::start),
                        new ReproduceCommand(Backend::start),
                        new EcarTrainCommand(Backend::start),
                        new EcarSampleCommand(Backend::start),
                        new CompareEcarCommand(Backend::start)),
                new PrintWriter(System.out, true),
                err,
                args));
    }

    /**
     * Runs {@code npp train} with steps that are made elsewhere, by a cluster for example.
     *
     * @param stepMaker makes the steps
     * @param out for results
     * @param err for errors
     * @param args options of {@code npp train}
     * @return the exit code
     */
    public static int train(StepMaker.Factory stepMaker, PrintWriter out, PrintWriter err, String... args) {
        String[] command = Stream.concat(Stream.of("train"), Stream.of(args)).toArray(String[]::new);
        return run(List.of(new TrainCommand(Backend::start, stepMaker)), out, err, command);
    }

    /**
     * Runs a command.
     *
     * @param commands the commands to choose from
     * @param out for results
     * @param err for errors
     * @param args command and options
     * @return the exit code
     */
    static int run(List<Object> commands, PrintWriter out, PrintWriter err, String... args) {
        CommandLine commandLine = new CommandLine(new Npp());
        commands.forEach(commandLine::addSubcommand);
        commandLine.getSubcommands().values().forEach(command -> command.getCommandSpec()
                .versionProvider(new Versions()));
        commandLine.setOut(out).setErr(err).setCaseInsensitiveEnumValuesAllowed(true);
        commandLine.setParameterExceptionHandler((e, ignored) -> usageError(e, err));
        commandLine.setExecutionExceptionHandler(
                (e, command, ignored) -> failed(e, outOption(command), isVerbose(commandLine), err));
        try {
            return commandLine.execute(args);
        } catch (Error e) {
            // picocli handles exceptions alone.
            return failed(e, outOption(commandLine), isVerbose(commandLine), err);
        }
    }

    private static int usageError(ParameterException e, PrintWriter err) {
        CommandLine command = e.getCommandLine();
        err.println("npp: " + Failure.oneLine(e.getMessage()) + ". See: "
                + command.getCommandSpec().qualifiedName() + " --help");
        return USAGE;
    }

    private static int failed(Throwable thrown, String outOption, boolean verbose, PrintWriter err) {
        err.println("npp: " + Failure.explain(thrown, outOption));
        if (verbose) {
            thrown.printStackTrace(err);
        }
        err.flush();
        return FAILED;
    }

    /** The option that says where the command that was called writes to; null if it has none. */
    private static String outOption(CommandLine called) {
        CommandLine command = called;
        while (command.getParseResult() != null && command.getParseResult().hasSubcommand()) {
            command = command.getParseResult().subcommand().commandSpec().commandLine();
        }
        for (String name : List.of(Failure.OUT, ExtractCodesCommand.OUT)) {
            if (command.getCommandSpec().findOption(name) != null) {
                return name;
            }
        }
        return null;
    }

    private static boolean isVerbose(CommandLine commandLine) {
        for (CommandLine.ParseResult parsed = commandLine.getParseResult();
                parsed != null;
                parsed = parsed.hasSubcommand() ? parsed.subcommand() : null) {
            if (parsed.matchedOptionValue("--verbose", false)) {
                return true;
            }
        }
        return false;
    }

    /** No command was given. */
    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "Which command? quickstart is a good start");
    }
}
