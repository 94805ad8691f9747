package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** A command that trains an example's networks, before and after NPP was added. */
abstract class ExampleCommand implements Callable<Integer> {
    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Mixin
    private ExampleOptions options;

    @Mixin
    private StandardOptions standardOptions;

    ExampleCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public final Integer call() throws IOException {
        PatchStages stages = options.stages();
        backend.get();
        train(stages, options.seed(), spec.commandLine().getOut());
        return 0;
    }

    /**
     * Trains both networks and reports.
     *
     * @param stages of the one with NPP
     * @param seed of data and weights
     * @param out for the report
     * @throws IOException if the data cannot be read
     */
    abstract void train(PatchStages stages, long seed, PrintWriter out) throws IOException;
}
