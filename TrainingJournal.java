package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.npp4j.llamagen.files.AtomicFile;

/**
 * The figures of a run, one JSON object a line: the file metrics.jsonl. A run that goes on from an older step forgets what came
 * after it.
 *
 * <p>Lines of training have {@code cross_entropy}, lines of tests {@code test_cross_entropy}; all have {@code step}.
 */
final class TrainingJournal {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    private final List<JsonNode> lines = new ArrayList<>();

    private TrainingJournal(Path file) {
        this.file = file;
    }

    /**
     * Opens a journal.
     *
     * @param file made if it does not exist
     * @param step the last step to remember; 0 to begin anew
     * @return the journal with what it had until then
     * @throws IOException if it cannot be read or written
     */
    static TrainingJournal open(Path file, int step) throws IOException {
        TrainingJournal journal = new TrainingJournal(file);
        if (step > 0 && Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                JsonNode entry = parse(line);
                if (entry != null && entry.path("step").asInt(Integer.MAX_VALUE) <= step) {
                    journal.lines.add(entry);
                }
            }
        }
        StringBuilder text = new StringBuilder();
        journal.lines.forEach(line -> text.append(line).append('\n'));
        AtomicFile.writeText(file, text.toString());
        return journal;
    }

    /** A process that died may have left half a line. */
    private static JsonNode parse(String line) {
        try {
            return JSON.readTree(line);
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    /** {@return an empty line to fill and {@link #add}} */
    static ObjectNode line(int step) {
        return JSON.createObjectNode().put("step", step);
    }

    /**
     * Adds a line; it is in the file when this returns.
     *
     * @param line what happened
     * @throws IOException if it cannot be written
     */
    void add(ObjectNode line) throws IOException {
        lines.add(line);
        Files.write(
                file, (line + "\n").getBytes(StandardCharsets.UTF_8), StandardOpenOption.APPEND, StandardOpenOption.CREATE);
    }

    /** {@return all lines} */
    List<JsonNode> lines() {
        return lines;
    }

    /** {@return the lines that have a key} */
    List<JsonNode> lines(String key) {
        return lines.stream().filter(line -> line.has(key)).toList();
    }
}
