package org.npp4j.samples.report;

import static org.npp4j.samples.report.PageParts.fixed;
import static org.npp4j.samples.report.PageParts.javaScript;
import static org.npp4j.samples.report.PageParts.json;
import static org.npp4j.samples.report.PageParts.machine;
import static org.npp4j.samples.report.PageParts.ratio;
import static org.npp4j.samples.report.PageParts.resource;
import static org.npp4j.samples.report.PageParts.rows;
import static org.npp4j.samples.report.PageParts.webjar;

import com.samskivert.mustache.Mustache;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.ParetoFront;
import org.npp4j.arbiter.Sweep;
import org.npp4j.arbiter.TestLossScore;

/** The report of a sweep as one HTML page that needs nothing else: see {@link ReportPage}. */
public final class SweepPage {
    private static final double KILO = 1e3;

    private SweepPage() {}

    /**
     * Renders the page.
     *
     * @param sweep whose candidates they are
     * @param results so far
     * @param environment machine and versions
     * @param written when, ISO 8601
     * @param totalSeconds of this process
     * @param peakRssGib largest resident memory of this process
     * @return HTML
     */
    public static String render(
            Sweep sweep,
            List<CandidateResult> results,
            RunEnvironment environment,
            String written,
            double totalSeconds,
            double peakRssGib) {
        List<CandidateResult> front = ParetoFront.of(results);
        Map<String, Object> page = new LinkedHashMap<>();
        page.put("css", webjar("dist/uPlot.min.css") + resource("report.css"));
        page.put("chartLicense", webjar("LICENSE"));
        page.put("chartLibrary", javaScript(webjar("dist/uPlot.iife.min.js")));
        page.put("script", javaScript(resource("sweep.js")));
        page.put("points", json(points(results, front)));
        page.put("written", written);
        page.put("score", sweep.score().name());
        page.put("count", results.size());
        page.put("hasBest", Sweep.best(results).isPresent());
        Sweep.best(results).ifPresent(best -> {
            page.put("best", best.plan().toString());
            page.put("bestScore", fixed(best.score().getAsDouble(), 4));
            page.put("bestCost", ratio(best.relativeCost()));
        });
        page.put("front", front.stream().map(each -> row(each, front)).toList());
        page.put(
                "candidates",
                results.stream()
                        .sorted(Comparator.comparingDouble(each -> each.score().orElse(Double.POSITIVE_INFINITY)))
                        .map(each -> row(each, front))
                        .toList());
        page.put("hasRates", results.stream().anyMatch(each -> each.plan().learningRate() != null));
        page.put("hasDecays", results.stream().anyMatch(each -> each.plan().decayRatio() != null));
        page.put("otherScore", !(sweep.score() instanceof TestLossScore));
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("Space", sweep.space());
        settings.put("Generator", sweep.generator());
        settings.put("Seed of the search", sweep.seed());
        settings.put("Seed of every candidate", sweep.plan().seed());
        settings.put(
                "Parameters of the model", PageParts.count(sweep.plan().model().parameters()));
        settings.put("Batch", sweep.plan().batchSize());
        settings.put("Learning rate", sweep.plan().learningRate().base());
        page.put("settings", rows(settings));
        page.put("data", rows(new LinkedHashMap<>(sweep.data())));
        page.put("environment", machine(environment, totalSeconds, peakRssGib));
        return Mustache.compiler()
                .escapeHTML(true)
                .emptyStringIsFalse(true)
                .compile(resource("sweep.html"))
                .execute(page);
    }

    private static List<Map<String, Object>> points(List<CandidateResult> results, List<CandidateResult> front) {
        List<Map<String, Object>> points = new ArrayList<>();
        results.stream()
                .filter(each -> each.score().isPresent())
                .sorted(Comparator.comparingDouble(CandidateResult::gflop))
                .forEach(each -> {
                    Map<String, Object> point = new LinkedHashMap<>();
                    point.put("plan", each.plan().toString());
                    point.put("cost", each.relativeCost());
                    point.put("score", each.score().getAsDouble());
                    point.put("front", front.contains(each));
                    points.add(point);
                });
        return points;
    }

    private static Map<String, Object> row(CandidateResult result, List<CandidateResult> front) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("plan", result.plan().stages().toString());
        row.put(
                "rate",
                result.plan().learningRate() == null ? "" : number(result.plan().learningRate()));
        row.put(
                "decay",
                result.plan().decayRatio() == null ? "" : number(result.plan().decayRatio()));
        row.put(
                "score",
                result.score().isPresent()
                        ? fixed(result.score().getAsDouble(), 4)
                        : result.status().name().toLowerCase(Locale.ROOT));
        row.put(
                "testLoss",
                result.testLoss().isPresent() ? fixed(result.testLoss().getAsDouble(), 4) : "");
        boolean failed = result.status() == CandidateResult.Status.FAILED;
        row.put("cost", failed ? "" : ratio(result.relativeCost()));
        row.put("tflop", failed ? "" : fixed(result.gflop() / KILO, 1));
        row.put("seconds", failed ? "" : fixed(result.seconds(), 0));
        row.put("mark", front.contains(result) ? "yes" : "");
        row.put("reason", result.reason());
        return row;
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.3g", value);
    }
}
