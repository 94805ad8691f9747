package org.npp4j.samples.report;

import com.samskivert.mustache.Mustache;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/** The report of a training run as one HTML page that needs nothing else. While the run goes on it loads itself anew. */
public final class TrainingReportPage {
    /** More points make no better picture. */
    private static final int MOST_POINTS = 2000;

    private static final int MOST_TESTS = 30;

    private TrainingReportPage() {}

    /**
     * Renders the page.
     *
     * @param report the figures
     * @param sheets pictures that the model drew
     * @return HTML
     */
    public static String render(TrainingReport report, List<SampleSheet> sheets) {
        return Mustache.compiler()
                .escapeHTML(true)
                .compile(PageParts.resource("training.html"))
                .execute(content(report, sheets));
    }

    private static Map<String, Object> content(TrainingReport report, List<SampleSheet> sheets) {
        Map<String, Object> page = PageParts.common();
        List<TrainingReport.Point> curve = thinned(report.curve());
        TrainingReport.Point last = curve.isEmpty() ? null : curve.get(curve.size() - 1);
        page.put("running", report.running());
        page.put("step", PageParts.count(report.step()));
        page.put("totalSteps", PageParts.count(report.totalSteps()));
        page.put("percent", 100L * report.step() / Math.max(1, report.totalSteps()));
        page.put("loss", last == null ? "not known yet" : PageParts.loss(last.loss()));
        page.put("patchSide", last == null ? "" : last.patchSide());
        page.put("seconds", last == null ? "0 s" : PageParts.seconds(last.seconds()));
        page.put("peakRssGib", PageParts.fixed(report.peakRssGib(), 2));
        page.put("gflopRatio", PageParts.ratio(report.cost().relativeOperations()));
        page.put("positionRatio", PageParts.ratio(report.cost().relativeTokens()));
        page.put("curves", PageParts.json(List.of(curve(curve))));
        page.put("hasSheets", !sheets.isEmpty());
        page.put("sheets", sheets.stream().map(PageParts::sheet).toList());
        page.put("hasTests", !report.tests().isEmpty());
        page.put("tests", tests(report.tests()));
        page.put("stages", stages(report));
        Map<String, Object> summary = new LinkedHashMap<>();
        report.summary().forEach(line -> summary.put(line.getKey(), line.getValue()));
        page.put("summary", PageParts.rows(summary));
        page.put("settings", PageParts.rows(report.settings()));
        Map<String, Object> environment = new LinkedHashMap<>();
        environment.put("Command", report.environment().commandLine());
        environment.put("Started", report.environment().startedAt());
        page.put("environment", PageParts.environment(report.environment(), environment));
        return page;
    }

    private static List<TrainingReport.Point> thinned(List<TrainingReport.Point> points) {
        if (points.size() <= MOST_POINTS) {
            return points;
        }
        List<TrainingReport.Point> thinned = new ArrayList<>();
        for (int i = 1; i <= MOST_POINTS; i++) {
            thinned.add(points.get((int) ((long) i * points.size() / MOST_POINTS) - 1));
        }
        return thinned;
    }

    private static Map<String, Object> curve(List<TrainingReport.Point> points) {
        Map<String, Object> run = new LinkedHashMap<>();
        run.put("model", "NPP");
        run.put("steps", points.stream().map(TrainingReport.Point::step).toList());
        run.put("seconds", points.stream().map(TrainingReport.Point::seconds).toList());
        run.put("gflop", points.stream().map(TrainingReport.Point::gflop).toList());
        run.put(
                "loss",
                points.stream().map(point -> PageParts.finite(point.loss())).toList());
        run.put("patchSide", points.stream().map(TrainingReport.Point::patchSide).toList());
        return run;
    }

    private static List<Map<String, Object>> tests(List<TrainingReport.Test> tests) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (TrainingReport.Test test : tests.subList(Math.max(0, tests.size() - MOST_TESTS), tests.size())) {
            rows.add(Map.of(
                    "step", PageParts.count(test.step()),
                    "loss", PageParts.fixed(test.loss(), 4),
                    "perplexity", PageParts.fixed(Math.exp(test.loss()), 2),
                    "average", Double.isNaN(test.averageLoss()) ? "" : PageParts.fixed(test.averageLoss(), 4)));
        }
        return rows;
    }

    private static List<Map<String, Object>> stages(TrainingReport report) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (int i = 0; i < report.stages().stages().size(); i++) {
            PatchStages.Stage stage = report.stages().stages().get(i);
            TrainingCost.StageCost cost = report.cost().stages().get(i);
            rows.add(Map.of(
                    "number", i + 1,
                    "patchSide", stage.patchSide(),
                    "from", stage.start(),
                    "to", stage.end(),
                    "positions", PageParts.count(cost.positions()),
                    "gflop", PageParts.fixed(cost.operations() / 1e9, 0)));
        }
        return rows;
    }
}
