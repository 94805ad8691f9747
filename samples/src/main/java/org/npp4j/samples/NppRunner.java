package org.npp4j.samples;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.npp4j.samples.bench.OwnJvm;

/** Runs a command of this program. */
@FunctionalInterface
interface NppRunner {
    /** What the JVM says about --add-modules. */
    String OF_THE_JVM = "WARNING: Using incubator modules";

    /**
     * Runs a command to its end.
     *
     * @param arguments the command and its options
     * @param lines told every line that it writes
     * @return its exit code
     * @throws IOException if it cannot be started
     */
    int run(List<String> arguments, Consumer<String> lines) throws IOException;

    /** Each command in a process of its own, as if it had been called by hand; who ends this one ends it, too. */
    static NppRunner ofProcesses() {
        return (arguments, lines) -> {
            List<String> command = new ArrayList<>(OwnJvm.command(Npp.class));
            command.addAll(arguments);
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            Thread end = new Thread(() -> {
                process.destroy();
                process.onExit().join(); // a training writes a checkpoint
            });
            Runtime.getRuntime().addShutdownHook(end);
            try (BufferedReader out = process.inputReader(StandardCharsets.UTF_8)) {
                process.getOutputStream().close();
                out.lines().filter(line -> !line.startsWith(OF_THE_JVM)).forEach(lines);
                return process.waitFor();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("Interrupted", e);
            } finally {
                process.destroy();
                try {
                    Runtime.getRuntime().removeShutdownHook(end);
                } catch (IllegalStateException e) {
                    // the program is ending
                }
            }
        };
    }

    /**
     * A command as one types it.
     *
     * @param arguments the command and its options
     * @return a line for a shell
     */
    static String shown(List<String> arguments) {
        StringBuilder line = new StringBuilder("./npp");
        for (String argument : arguments) {
            boolean plain = argument.matches("[\\w./:=,+-]+");
            line.append(' ').append(plain ? argument : "'" + argument.replace("'", "'\\''") + "'");
        }
        return line.toString();
    }
}
