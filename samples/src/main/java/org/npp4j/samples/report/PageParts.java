package org.npp4j.samples.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;

/** What the pages of reports are made of: texts of the class path, numbers in words, tables. */
final class PageParts {
    private static final ObjectMapper JSON = new ObjectMapper();

    private PageParts() {}

    /**
     * JavaScript of our own or of the chart library, which stands in the page as it is.
     *
     * @throws IllegalStateException if it holds what would end or change its script element
     */
    static String javaScript(String text) {
        String lowerCase = text.toLowerCase(Locale.ROOT);
        if (lowerCase.contains("</script") || lowerCase.contains("<!--") || lowerCase.contains("<script")) {
            throw new IllegalStateException("A script of the page holds a script tag or an HTML comment");
        }
        return text;
    }

    static String ratio(double value) {
        return fixed(value, 3);
    }

    static String loss(double value) {
        return fixed(value, 3);
    }

    static String percent(double share) {
        return fixed(100 * share, 1) + " %";
    }

    static String seconds(double value) {
        return value < 100 ? fixed(value, 1) + " s" : fixed(value, 0) + " s";
    }

    static String fixed(double value, int digits) {
        return String.format(Locale.ROOT, "%,." + digits + "f", value);
    }

    static String count(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    static String trimmed(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : fixed(value, 2);
    }

    static String webjar(String path) {
        String version = properties("/META-INF/maven/org.webjars.npm/uplot/pom.properties")
                .getProperty("version");
        return text("/META-INF/resources/webjars/uplot/" + version + "/" + path);
    }

    static String resource(String name) {
        return text(name);
    }

    static Properties properties(String name) {
        Properties properties = new Properties();
        try (InputStream in = open(name)) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties;
    }

    static String text(String name) {
        try (InputStream in = open(name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static InputStream open(String name) {
        InputStream in = PageParts.class.getResourceAsStream(name);
        if (in == null) {
            throw new IllegalStateException("The report needs " + name + " on the class path. Build the samples anew");
        }
        return in;
    }

    /**
     * Figures for the charts, in a script element.
     *
     * @param runs the runs of report.js
     * @return JSON
     */
    static String json(List<Map<String, Object>> runs) {
        try {
            // Its JSON escape instead of "<", which could end the script element.
            return JSON.writeValueAsString(runs).replace("<", "\\u003c");
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("The loss curves cannot be written as JSON: " + e.getOriginalMessage(), e);
        }
    }

    /** {@return the values, null for those that are not finite: JSON has no NaN, and null leaves a gap in a chart} */
    static List<Double> withGaps(List<Double> values) {
        return values.stream().map(x -> Double.isFinite(x) ? x : null).toList();
    }

    /** {@return rows about the machine and the versions} */
    static List<Map<String, Object>> machine(RunEnvironment machine, double totalSeconds, double peakRssGib) {
        Map<String, Object> rows = new LinkedHashMap<>();
        rows.put("Command", machine.commandLine());
        rows.put("Started", machine.startedAt());
        rows.put("Total time", seconds(totalSeconds));
        rows.put("Peak resident memory", fixed(peakRssGib, 2) + " GiB");
        machine.versions().forEach((name, version) -> rows.put("Version of " + name, version));
        rows.put("ND4J backend", machine.backend());
        rows.put("BLAS", machine.blas());
        rows.put("Threads", machine.threads() + " (ND4J), " + machine.blasThreads() + " (BLAS)");
        rows.put("GPUs", machine.devices().isEmpty() ? "none" : machine.devices());
        rows.put("Operating system", machine.os());
        rows.put("Processor cores", machine.cores());
        rows.put("Heap limit", fixed(machine.maxHeapGib(), 2) + " GiB");
        return rows(rows);
    }

    static List<Map<String, Object>> rows(Map<String, Object> values) {
        List<Map<String, Object>> rows = new ArrayList<>();
        values.forEach(
                (name, value) -> rows.add(Map.of("name", name.replace('_', ' '), "value", String.valueOf(value))));
        return rows;
    }

    static Map<String, Object> sheet(SampleSheet sheet) {
        return Map.of(
                "title", sheet.title(),
                "description", sheet.description(),
                "src", "data:image/png;base64," + Base64.getEncoder().encodeToString(sheet.png()));
    }
}
