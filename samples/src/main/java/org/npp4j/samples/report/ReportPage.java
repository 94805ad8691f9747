package org.npp4j.samples.report;

import static org.npp4j.samples.report.PageParts.count;
import static org.npp4j.samples.report.PageParts.fixed;
import static org.npp4j.samples.report.PageParts.javaScript;
import static org.npp4j.samples.report.PageParts.json;
import static org.npp4j.samples.report.PageParts.loss;
import static org.npp4j.samples.report.PageParts.machine;
import static org.npp4j.samples.report.PageParts.percent;
import static org.npp4j.samples.report.PageParts.ratio;
import static org.npp4j.samples.report.PageParts.resource;
import static org.npp4j.samples.report.PageParts.rows;
import static org.npp4j.samples.report.PageParts.seconds;
import static org.npp4j.samples.report.PageParts.trimmed;
import static org.npp4j.samples.report.PageParts.webjar;
import static org.npp4j.samples.report.PageParts.withGaps;

import com.samskivert.mustache.Mustache;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

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

        page.put("sheets", sheets.stream().map(PageParts::sheet).toList());
        page.put("classNames", report.data().classNames());
        page.put("hasEcar", report.ecar() != null);
        if (report.ecar() != null) {
            page.put("ecar", ecar(report.ecar()));
        }
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

    private static Map<String, Object> ecar(EcarResult ecar) {
        Map<String, Object> figures = new LinkedHashMap<>();
        figures.put("Training time", seconds(ecar.trainSeconds()));
        figures.put("Training operations, GFLOP", fixed(ecar.trainGflop(), 0));
        figures.put("Images trained on", count(ecar.trainImages()) + ", " + ecar.epochs() + " epochs");
        figures.put("Parameters", count(ecar.parameters()));
        figures.put("Test velocity loss", fixed(ecar.testLoss(), 4));
        figures.put("Test velocity loss of the average", fixed(ecar.averageTestLoss(), 4));
        figures.put("Operations of an image drawn, GFLOP", fixed(ecar.drawGflop(), 3));
        figures.put("Time of an image drawn, ms", fixed(1e3 * ecar.drawSeconds(), 1));
        if (ecar.drawn() != null) {
            figures.put(
                    "FID(" + ecar.drawn().network() + ") of "
                            + count(ecar.drawn().images()) + " drawn against "
                            + count(ecar.drawn().referenceImages()) + " test images",
                    fixed(ecar.drawn().fid(), 2));
            figures.put(
                    "Drawn images that " + ecar.drawn().network() + " assigns to the class asked for (test images: "
                            + percent(ecar.drawn().referenceAgreement()) + ")",
                    percent(ecar.drawn().classifierAgreement()));
        }
        figures.put("Model file", ecar.modelFile());
        return Map.of(
                "nature",
                ecar.nature(),
                "model",
                ecar.model(),
                "figures",
                rows(figures),
                "settings",
                rows(ecar.settings()),
                "sheet",
                PageParts.sheet(ecar.sheet()));
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
        return machine(report.environment(), report.totalSeconds(), report.peakRssGib());
    }

    private static String curves(QuickstartReport report) {
        List<Map<String, Object>> runs = new ArrayList<>();
        Map<String, Object> ntp = curve("NTP", report.ntp().curve());
        ntp.put("dash", List.of(2, 3));
        runs.add(ntp);
        runs.add(curve("NPP", report.npp().curve()));
        return json(runs);
    }

    private static Map<String, Object> curve(String model, LossCurve curve) {
        Map<String, Object> run = new LinkedHashMap<>();
        run.put("model", model);
        run.put("color", model.toLowerCase(Locale.ROOT));
        run.put("seconds", curve.seconds());
        run.put("images", curve.images());
        run.put("loss", withGaps(curve.loss()));
        run.put("patchSide", curve.patchSide());
        return run;
    }
}
