package org.npp4j.samples.bench;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** One process of a comparison: its last line on standard output is JSON with the names that {@code npp bench} prints. */
final class BenchProcess {
    private final String name;
    private final List<String> command;
    private final Predicate<String> withoutVariable;

    /**
     * A process to run any number of times.
     *
     * @param name for messages
     * @param command program and arguments
     * @param withoutVariable names of environment variables that it does not get
     */
    BenchProcess(String name, List<String> command, Predicate<String> withoutVariable) {
        this.name = name;
        this.command = List.copyOf(command);
        this.withoutVariable = withoutVariable;
    }

    /**
     * Runs the process to its end.
     *
     * @param progress gets what it writes to standard error
     * @return what it reported
     * @throws IllegalStateException if it fails or reports something else
     */
    RunResult run(Consumer<String> progress) {
        Output output = runToItsEnd(progress);
        if (output.exitCode != 0) {
            throw new IllegalStateException(name + " ended with exit code " + output.exitCode
                    + (output.lastError.isEmpty() ? "" : ": " + output.lastError));
        }
        String line = output.lines.isEmpty() ? "" : output.lines.get(output.lines.size() - 1);
        try {
            JsonNode json = new ObjectMapper().readTree(line);
            return new RunResult(
                    required(json, "peer").asText(),
                    required(json, "median_s").asDouble(),
                    required(json, "peak_rss_gib").asDouble());
        } catch (JsonProcessingException | IllegalArgumentException e) {
            throw new IllegalStateException(
                    name + " must end with a line of JSON with peer, median_s and peak_rss_gib, but ended with \""
                            + line + "\"",
                    e);
        }
    }

    private static JsonNode required(JsonNode json, String field) {
        if (json == null || !json.hasNonNull(field)) {
            throw new IllegalArgumentException("no " + field);
        }
        return json.get(field);
    }

    /**
     * What a process wrote.
     *
     * @param exitCode its exit code
     * @param lines of standard output
     * @param lastError the last line of standard error, or an empty string
     */
    record Output(int exitCode, List<String> lines, String lastError) {}

    /**
     * Runs the process to its end, whatever that is.
     *
     * @param progress gets what it writes to standard error
     * @return what it wrote
     * @throws IllegalStateException if it cannot be started
     */
    Output runToItsEnd(Consumer<String> progress) {
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().keySet().removeIf(withoutVariable);
        Process process;
        try {
            process = builder.start();
        } catch (IOException e) {
            throw new IllegalStateException("There is no program " + command.get(0) + " (" + e.getMessage() + ")", e);
        }
        String[] lastError = {""};
        Thread errors = new Thread(() -> lines(process.errorReader(StandardCharsets.UTF_8), line -> {
            progress.accept(line);
            lastError[0] = line.isBlank() ? lastError[0] : line;
        }));
        errors.setDaemon(true);
        errors.start();
        List<String> lines = new ArrayList<>();
        try {
            process.getOutputStream().close();
            lines(process.inputReader(StandardCharsets.UTF_8), lines::add);
            int code = process.waitFor();
            errors.join();
            return new Output(code, lines, lastError[0]);
        } catch (IOException e) {
            throw new IllegalStateException(name + " could not be read: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while " + name + " ran", e);
        } finally {
            process.destroy();
        }
    }

    private static void lines(BufferedReader reader, Consumer<String> to) {
        reader.lines().forEach(to);
    }
}
