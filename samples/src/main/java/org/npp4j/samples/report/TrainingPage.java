package org.npp4j.samples.report;

import static org.npp4j.samples.report.PageParts.count;
import static org.npp4j.samples.report.PageParts.fixed;
import static org.npp4j.samples.report.PageParts.javaScript;
import static org.npp4j.samples.report.PageParts.json;
import static org.npp4j.samples.report.PageParts.loss;
import static org.npp4j.samples.report.PageParts.machine;
import static org.npp4j.samples.report.PageParts.resource;
import static org.npp4j.samples.report.PageParts.rows;
import static org.npp4j.samples.report.PageParts.webjar;
import static org.npp4j.samples.report.PageParts.withGaps;

import com.samskivert.mustache.Mustache;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** The report of a training run as one HTML page that needs nothing else: see {@link ReportPage}. */
public final class TrainingPage {
    /** Points of a curve; of more, the means of neighbours are drawn. */
    private static final int CHART_POINTS = 2000;

    private static final int TABLE_ROWS = 24;
    private static final double KILO = 1e3;

    private TrainingPage() {}

    /**
     * Renders the page.
     *
     * @param report what it shows
     * @return HTML
     */
    public static String render(TrainingReport report) {
        return Mustache.compiler()
                .escapeHTML(true)
                .compile(resource("training.html"))
                .execute(content(report));
    }

    private static Map<String, Object> content(TrainingReport report) {
        Map<String, Object> page = new LinkedHashMap<>();
        page.put("css", webjar("dist/uPlot.min.css") + resource("report.css"));
        page.put("chartLicense", webjar("LICENSE"));
        page.put("chartLibrary", javaScript(webjar("dist/uPlot.iife.min.js")));
        page.put("script", javaScript(resource("report.js")));
        page.put("curves", json(runs(report)));
        page.put("title", report.title());
        page.put("state", report.state());
        page.put("lead", report.lead());
        page.put("written", report.written());
        page.put(
                "points",
                thinned(report.points(), TABLE_ROWS).stream()
                        .map(TrainingPage::row)
                        .toList());
        page.put("tests", report.checkpoints().stream().map(TrainingPage::row).toList());
        page.put("hasTests", !report.checkpoints().isEmpty());
        page.put("sheets", report.sheets().stream().map(PageParts::sheet).toList());
        page.put("hasSheets", !report.sheets().isEmpty());
        page.put("sheetNote", report.sheetNote());
        page.put(
                "lossName",
                report.loss().patches() ? "Loss, nats per token" : report.loss().name());
        page.put("lossNote", report.loss().note());
        page.put("patches", report.loss().patches());
        page.put("stageColumns", report.stages().columns());
        page.put("stages", stages(report.stages()));
        page.put("costNote", report.costNote());
        page.put("settings", rows(report.settings()));
        page.put("data", rows(report.data()));
        page.put("environment", machine(report.environment(), report.totalSeconds(), report.peakRssGib()));
        return page;
    }

    private static List<Map<String, Object>> runs(TrainingReport report) {
        List<TrainingPoint> points = averaged(report.points());
        List<Map<String, Object>> runs = new ArrayList<>();
        Map<String, Object> training = new LinkedHashMap<>();
        training.put("model", "Training");
        training.put("color", "npp");
        training.put("steps", points.stream().map(TrainingPoint::step).toList());
        training.put("seconds", points.stream().map(TrainingPoint::seconds).toList());
        training.put("tflop", points.stream().map(point -> point.gflop() / KILO).toList());
        training.put("loss", withGaps(points.stream().map(TrainingPoint::loss).toList()));
        training.put(
                "patchSide",
                points.stream()
                        .map(point -> report.loss().patches() ? point.patchSide() : 0)
                        .toList());
        runs.add(training);
        tests(report, "Test", CheckpointPoint::testLoss, runs);
        tests(report, "Test of the average", CheckpointPoint::averageTestLoss, runs);
        return runs;
    }

    private static void tests(
            TrainingReport report,
            String name,
            Function<CheckpointPoint, Double> tested,
            List<Map<String, Object>> runs) {
        List<CheckpointPoint> points = report.checkpoints().stream()
                .filter(point -> tested.apply(point) != null)
                .toList();
        if (points.isEmpty()) {
            return;
        }
        Map<String, Object> test = new LinkedHashMap<>();
        test.put("model", name);
        test.put("color", "ntp");
        test.put("dash", runs.size() == 1 ? List.of() : List.of(2, 3));
        test.put("steps", points.stream().map(CheckpointPoint::step).toList());
        test.put("seconds", points.stream().map(CheckpointPoint::seconds).toList());
        test.put("tflop", points.stream().map(point -> point.gflop() / KILO).toList());
        test.put("loss", withGaps(points.stream().map(tested).toList()));
        test.put(
                "patchSide",
                points.stream().map(point -> report.loss().patches() ? 1 : 0).toList());
        runs.add(test);
    }

    /** Means of neighbours within a stage, so that a run of months gives a page that opens. */
    private static List<TrainingPoint> averaged(List<TrainingPoint> points) {
        int window = (points.size() + CHART_POINTS - 1) / CHART_POINTS;
        if (window <= 1) {
            return points;
        }
        List<TrainingPoint> means = new ArrayList<>();
        double sum = 0;
        int size = 0;
        for (int i = 0; i < points.size(); i++) {
            TrainingPoint point = points.get(i);
            sum += point.loss();
            size++;
            boolean last = i + 1 == points.size() || points.get(i + 1).stage() != point.stage();
            if (size == window || last) {
                means.add(new TrainingPoint(
                        point.step(),
                        point.epoch(),
                        point.stage(),
                        point.patchSide(),
                        point.learningRate(),
                        sum / size,
                        point.score(),
                        point.gradientNorm(),
                        point.images(),
                        point.seconds(),
                        point.gflop(),
                        point.imagesPerSecond(),
                        point.memoryGib()));
                sum = 0;
                size = 0;
            }
        }
        return means;
    }

    private static <T> List<T> thinned(List<T> all, int most) {
        int shown = Math.min(most, all.size());
        List<T> some = new ArrayList<>();
        for (int row = 1; row <= shown; row++) {
            some.add(all.get((int) ((long) row * all.size() / shown) - 1));
        }
        return some;
    }

    private static Map<String, Object> row(TrainingPoint point) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("step", count(point.step()));
        row.put("epoch", point.epoch());
        row.put("patchSide", point.patchSide());
        row.put("seconds", fixed(point.seconds(), 1));
        row.put("tflop", fixed(point.gflop() / KILO, 1));
        row.put("loss", loss(point.loss()));
        row.put("learningRate", String.format(Locale.ROOT, "%.2e", point.learningRate()));
        row.put("gradientNorm", fixed(point.gradientNorm(), 3));
        row.put("imagesPerSecond", fixed(point.imagesPerSecond(), 1));
        return row;
    }

    private static Map<String, Object> row(CheckpointPoint point) {
        return Map.of(
                "step", count(point.step()),
                "trainingLoss", orNone(point.trainingLoss()),
                "testLoss", orNone(point.testLoss()),
                "averageTestLoss", orNone(point.averageTestLoss()));
    }

    private static String orNone(Double value) {
        return value == null ? "none" : fixed(value, 4);
    }

    private static List<Map<String, Object>> stages(TrainingReport.Table stages) {
        return stages.rows().stream()
                .map(row -> Map.<String, Object>of("first", row.get(0), "further", row.subList(1, row.size())))
                .toList();
    }
}
