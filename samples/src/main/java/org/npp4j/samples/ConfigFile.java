package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLFactory;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLGenerator;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * Options of a command in a YAML file: the names without dashes in front, {@code _} for {@code -} if one likes.
 *
 * @param file where they come from
 * @param arguments as they would stand on the command line, by option
 */
record ConfigFile(Path file, Map<String, String> arguments) {
    private static final ObjectMapper YAML = new ObjectMapper(
                    new YAMLFactory().disable(YAMLGenerator.Feature.WRITE_DOC_START_MARKER))
            .configure(JsonParser.Feature.STRICT_DUPLICATE_DETECTION, true);

    /** What belongs to one call of the program and not to its settings. */
    private static final Set<String> NOT_IN_FILES = Set.of("--config", "--resume", "--allow-changes", "--help", "-h");

    /** What a run that goes on elsewhere, or further, does not take over. */
    private static final Set<String> NOT_KEPT = Set.of("--steps", "--out", "--results-dir", "--ui");

    /**
     * Reads a file.
     *
     * @param file YAML, a mapping of options to values
     * @param command whose options they are
     * @return the options
     * @throws AppException if it cannot be read, or has an unknown option
     */
    static ConfigFile read(Path file, CommandSpec command) {
        JsonNode root;
        try {
            root = YAML.readTree(Files.readString(file));
        } catch (JsonProcessingException e) {
            throw new AppException(file + " is not YAML: " + e.getOriginalMessage() + place(e), e);
        } catch (IOException e) {
            throw new AppException("--config: cannot read " + file + ": " + e.getMessage(), e);
        }
        if (root == null || !root.isObject()) {
            throw new AppException(file + " must hold options and their values, such as lr: 1e-4, one on a line");
        }
        Map<String, String> arguments = new LinkedHashMap<>();
        for (Iterator<Map.Entry<String, JsonNode>> fields = root.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            String name = "--" + field.getKey().replace('_', '-');
            OptionSpec option = command.findOption(name);
            if (option == null || NOT_IN_FILES.contains(name)) {
                throw unknown(file, field.getKey(), command);
            }
            add(arguments, option, name, field.getValue());
        }
        return new ConfigFile(file, arguments);
    }

    private static String place(JsonProcessingException e) {
        return e.getLocation() == null ? "" : ", line " + e.getLocation().getLineNr();
    }

    private static void add(Map<String, String> arguments, OptionSpec option, String name, JsonNode value) {
        if (value.isNull()) {
            return;
        }
        if (value.isBoolean() && option.arity().max() == 0) {
            if (value.asBoolean()) {
                arguments.put(option.longestName(), name);
            } else if (option.negatable()) {
                arguments.put(option.longestName(), "--no-" + name.substring(2));
            }
            return;
        }
        arguments.put(option.longestName(), name + "=" + text(value));
    }

    private static String text(JsonNode value) {
        if (value.isArray()) {
            List<String> parts = new ArrayList<>();
            value.forEach(part -> parts.add(text(part)));
            return String.join(",", parts);
        }
        return value.isValueNode() ? value.asText() : value.toString();
    }

    private static AppException unknown(Path file, String key, CommandSpec command) {
        Set<String> known = new TreeSet<>();
        for (OptionSpec option : command.options()) {
            for (String name : option.names()) {
                if (name.startsWith("--") && !NOT_IN_FILES.contains(name) && !option.hidden()) {
                    known.add(name.substring(2));
                }
            }
        }
        String wanted = key.replace('_', '-');
        String nearest = known.stream()
                .min((a, b) -> Integer.compare(distance(wanted, a), distance(wanted, b)))
                .orElseThrow();
        return new AppException(file + " has the unknown key \"" + key + "\". Did you mean \"" + nearest + "\"? Known: "
                + String.join(", ", known));
    }

    /** Insertions, deletions and changes of letters that make one word of the other (Levenshtein). */
    static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(change, 1 + Math.min(row[j - 1], row[j]));
            }
        }
        return row[b.length()];
    }

    /**
     * The options that were given to a command as YAML, which {@link #read} reads back; those that end a run early, or say
     * where it goes, are left out.
     *
     * @param command that was parsed
     * @return YAML
     */
    static String yaml(CommandSpec command) {
        ObjectNode root = YAML.createObjectNode();
        for (OptionSpec option : command.options()) {
            String name = option.longestName();
            boolean given = command.commandLine().getParseResult().hasMatchedOption(option);
            if (!given
                    || NOT_IN_FILES.contains(name)
                    || NOT_KEPT.contains(name)
                    || option.usageHelp()
                    || option.versionHelp()
                    || !name.startsWith("--")) {
                continue;
            }
            Object value = option.getValue();
            String key = name.substring(2);
            if (value instanceof Boolean flag) {
                root.put(key, flag);
            } else if (value instanceof Path path) {
                root.put(key, path.toAbsolutePath().normalize().toString());
            } else if (value instanceof int[] numbers) {
                List<String> texts = new ArrayList<>();
                for (int number : numbers) {
                    texts.add(Integer.toString(number));
                }
                root.put(key, String.join(",", texts));
            } else if (value != null) {
                root.put(key, value.toString());
            }
        }
        try {
            return YAML.writeValueAsString(root);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }
}
