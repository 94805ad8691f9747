package org.npp4j.samples.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.samskivert.mustache.Mustache;
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

/**
 * The report as one HTML page that needs nothing else: styles, script, chart library and pictures are inside, and its
 * content security policy forbids every load.
 *
 * <p>The template escapes all text. The figures of the charts travel as JSON in a script element, with every character
 * escaped that could end it.
 */
public final class ReportPage {
    /** Rows of the tables that stand in for the charts. */
    private static final int ROWS_FOR_A_CURVE = 12;

    private static final ObjectMapper JSON = new ObjectMapper();

    private ReportPage() {}

    /**
     * Renders the page.
     *
     * @param report the figures
     * @param sheets the sample sheets, one row per class of the report's data
     * @return HTML
     */
    public static String render(QuickstartReport report, List<SampleSheet> sheets) {
        return Mustache.compiler()
                .escapeHTML(true)
                .compile(resource("report.html"))
                .execute(content(report, sheets));
    }

    private static Map<String, Object> content(QuickstartReport report, List<SampleSheet> sheets) {
        TrainedModel ntp = report.ntp();
        TrainedModel npp = report.npp();
        Map<String, Object> page = new LinkedHashMap<>();
        page.put("css", webjar("dist/uPlot.min.css") + resource("report.css"));
        page.put("chartLicense", webjar("LICENSE"));
        page.put("chartLibrary", javaScript(webjar("dist/uPlot.iife.min.js")));
        page.put("script", javaScript(resource("report.js")));
        page.put("curves", curves(report));

        page.put("timeRatio", ratio(report.ratio().trainSeconds()));
        page.put("nppSeconds", seconds(npp.trainSeconds()));
        page.put("ntpSeconds", seconds(ntp.trainSeconds()));
        page.put("gflopRatio", ratio(report.ratio().trainGflop()));
        page.put("positionRatio", ratio(report.ratio().trainPositions()));
        page.put("nppNll", loss(npp.testNllPerToken()));
        page.put("ntpNll", loss(ntp.testNllPerToken()));

        page.put("sheets", sheets.stream().map(ReportPage::sheet).toList());
        page.put("classNames", report.data().classNames());
        page.put("cost", cost(ntp, npp, report.ratio()));
        page.put("stages", stages(report));
        page.put("curveTables", List.of(curveTable("NTP", ntp.curve()), curveTable("NPP", npp.curve())));
        page.put("determinism", report.determinism());
        page.put("data", data(report.data()));
        page.put("settings", rows(report.settings()));
        page.put("environment", environment(report));
        page.put("totalSeconds", seconds(report.totalSeconds()));
        page.put("peakRssGib", fixed(report.peakRssGib(), 2));
        return page;
    }

    private static Map<String, Object> sheet(SampleSheet sheet) {
        return Map.of(
                "title", sheet.title(),
                "description", sheet.description(),
                "src", "data:image/png;base64," + Base64.getEncoder().encodeToString(sheet.png()));
    }

    private static List<Map<String, Object>> cost(TrainedModel ntp, TrainedModel npp, QuickstartReport.Ratio ratio) {
        List<Map<String, Object>> rows = new ArrayList<>();
        rows.add(costRow(
                "Training time, s",
                fixed(ntp.trainSeconds(), 1),
                fixed(npp.trainSeconds(), 1),
                ratio(ratio.trainSeconds())));
        rows.add(costRow(
                "Training operations, GFLOP",
                fixed(ntp.trainGflop(), 0),
                fixed(npp.trainGflop(), 0),
                ratio(ratio.trainGflop())));
        rows.add(costRow(
                "Positions through the transformer",
                count(ntp.trainPositions()),
                count(npp.trainPositions()),
                ratio(ratio.trainPositions())));
        rows.add(costRow("Tokens scored", ntp.trainTokens(), npp.trainTokens()));
        rows.add(costRow("Images trained on", ntp.trainImages(), npp.trainImages()));
        rows.add(costRow(
                "Images per second",
                fixed(ntp.imagesPerSecond(), 0),
                fixed(npp.imagesPerSecond(), 0),
                ratio(npp.imagesPerSecond() / ntp.imagesPerSecond())));
        rows.add(costRow("Parameters", ntp.parameters(), npp.parameters()));
        rows.add(costRow(
                "Test negative log-likelihood, nats per token",
                loss(ntp.testNllPerToken()),
                loss(npp.testNllPerToken()),
                ratio(npp.testNllPerToken() / ntp.testNllPerToken())));
        rows.add(costRow(
                "Test perplexity",
                fixed(ntp.testPerplexity(), 2),
                fixed(npp.testPerplexity(), 2),
                ratio(npp.testPerplexity() / ntp.testPerplexity())));
        if (ntp.drawn() != null && npp.drawn() != null) {
            rows.add(costRow(
                    "FID(" + ntp.drawn().network() + ") of " + count(ntp.drawn().images()) + " drawn against "
                            + count(ntp.drawn().referenceImages()) + " test images",
                    fixed(ntp.drawn().fid(), 2),
                    fixed(npp.drawn().fid(), 2),
                    ratio(npp.drawn().fid() / ntp.drawn().fid())));
            rows.add(costRow(
                    "Drawn images that " + ntp.drawn().network() + " assigns to the class asked for (test images: "
                            + percent(ntp.drawn().referenceAgreement()) + ")",
                    percent(ntp.drawn().classifierAgreement()),
                    percent(npp.drawn().classifierAgreement()),
                    ratio(npp.drawn().classifierAgreement() / ntp.drawn().classifierAgreement())));
        }
        return rows;
    }

    private static Map<String, Object> costRow(String name, long ntp, long npp) {
        return costRow(name, count(ntp), count(npp), ratio(npp / (double) ntp));
    }

    private static Map<String, Object> costRow(String name, String ntp, String npp, String ratio) {
        return Map.of("name", name, "ntp", ntp, "npp", npp, "ratio", ratio);
    }

    private static List<Map<String, Object>> stages(QuickstartReport report) {
        List<Map<String, Object>> rows = new ArrayList<>();
        addStages(rows, "NTP", report.ntp());
        addStages(rows, "NPP", report.npp());
        return rows;
    }

    private static void addStages(List<Map<String, Object>> rows, String model, TrainedModel trained) {
        for (int i = 0; i < trained.stages().size(); i++) {
            TrainedModel.Stage stage = trained.stages().get(i);
            rows.add(Map.of(
                    "model", model,
                    "number", i + 1,
                    "patchSide", stage.patchSide(),
                    "epochs", trimmed(stage.fromEpoch()) + " to " + trimmed(stage.toEpoch()),
                    "seconds", fixed(stage.seconds(), 1),
                    "positions", count(stage.positions()),
                    "gflop", fixed(stage.gflop(), 0),
                    "lastLoss", loss(stage.lastLoss())));
        }
    }

    private static Map<String, Object> curveTable(String model, LossCurve curve) {
        List<Map<String, Object>> points = new ArrayList<>();
        int shown = Math.min(ROWS_FOR_A_CURVE, curve.size());
        for (int row = 1; row <= shown; row++) {
            int i = (int) ((long) row * curve.size() / shown) - 1;
            points.add(Map.of(
                    "seconds", fixed(curve.seconds().get(i), 1),
                    "images", count(curve.images().get(i)),
                    "patchSide", curve.patchSide().get(i),
                    "loss", loss(curve.loss().get(i))));
        }
        return Map.of("model", model, "points", points);
    }

    private static List<Map<String, Object>> data(QuickstartReport.Data data) {
        Map<String, Object> rows = new LinkedHashMap<>();
        rows.put("Data", data.name());
        rows.put("SHA-256 of the data", data.sha256());
        rows.put("Training images", count(data.trainImages()));
        rows.put("Test images", count(data.testImages()));
        rows.put("Tokens per image", data.tokensPerImage());
        rows.put("Vocabulary", count(data.vocabulary()));
        rows.put("Tokenizer's mean squared error, pixels in [0, 1]", fixed(data.reconstructionError(), 5));
        return rows(rows);
    }

    private static List<Map<String, Object>> environment(QuickstartReport report) {
        RunEnvironment machine = report.environment();
        Map<String, Object> rows = new LinkedHashMap<>();
        rows.put("Command", machine.commandLine());
        rows.put("Started", machine.startedAt());
        rows.put("Total time", seconds(report.totalSeconds()));
        rows.put("Peak resident memory", fixed(report.peakRssGib(), 2) + " GiB");
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

    private static List<Map<String, Object>> rows(Map<String, Object> values) {
        List<Map<String, Object>> rows = new ArrayList<>();
        values.forEach(
                (name, value) -> rows.add(Map.of("name", name.replace('_', ' '), "value", String.valueOf(value))));
        return rows;
    }

    private static String curves(QuickstartReport report) {
        List<Map<String, Object>> runs = new ArrayList<>();
        runs.add(curve("NTP", report.ntp().curve()));
        runs.add(curve("NPP", report.npp().curve()));
        try {
            // Its JSON escape instead of "<", which could end the script element.
            return JSON.writeValueAsString(runs).replace("<", "\\u003c");
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("The loss curves cannot be written as JSON: " + e.getOriginalMessage(), e);
        }
    }

    private static Map<String, Object> curve(String model, LossCurve curve) {
        Map<String, Object> run = new LinkedHashMap<>();
        run.put("model", model);
        run.put("seconds", curve.seconds());
        run.put("images", curve.images());
        // JSON has no NaN: null leaves a gap in the chart.
        run.put(
                "loss",
                curve.loss().stream().map(x -> Double.isFinite(x) ? x : null).toList());
        run.put("patchSide", curve.patchSide());
        return run;
    }

    /**
     * JavaScript of our own or of the chart library, which stands in the page as it is.
     *
     * @throws IllegalStateException if it holds what would end or change its script element
     */
    private static String javaScript(String text) {
        String lowerCase = text.toLowerCase(Locale.ROOT);
        if (lowerCase.contains("</script") || lowerCase.contains("<!--") || lowerCase.contains("<script")) {
            throw new IllegalStateException("A script of the page holds a script tag or an HTML comment");
        }
        return text;
    }

    private static String ratio(double value) {
        return fixed(value, 3);
    }

    private static String loss(double value) {
        return fixed(value, 3);
    }

    private static String percent(double share) {
        return fixed(100 * share, 1) + " %";
    }

    private static String seconds(double value) {
        return value < 100 ? fixed(value, 1) + " s" : fixed(value, 0) + " s";
    }

    private static String fixed(double value, int digits) {
        return String.format(Locale.ROOT, "%,." + digits + "f", value);
    }

    private static String count(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    private static String trimmed(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : fixed(value, 2);
    }

    private static String webjar(String path) {
        String version = properties("/META-INF/maven/org.webjars.npm/uplot/pom.properties")
                .getProperty("version");
        return text("/META-INF/resources/webjars/uplot/" + version + "/" + path);
    }

    private static String resource(String name) {
        return text(name);
    }

    private static Properties properties(String name) {
        Properties properties = new Properties();
        try (InputStream in = open(name)) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties;
    }

    private static String text(String name) {
        try (InputStream in = open(name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static InputStream open(String name) {
        InputStream in = ReportPage.class.getResourceAsStream(name);
        if (in == null) {
            throw new IllegalStateException("The report needs " + name + " on the class path. Build the samples anew");
        }
        return in;
    }
}
