package org.npp4j.samples.report;

import static org.npp4j.samples.report.PageParts.count;
import static org.npp4j.samples.report.PageParts.fixed;
import static org.npp4j.samples.report.PageParts.percent;
import static org.npp4j.samples.report.PageParts.resource;
import static org.npp4j.samples.report.PageParts.rows;

import com.samskivert.mustache.Mustache;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A {@link FlowComparison} as one HTML page without scripts: pictures, a chart as SVG, tables. */
public final class FlowComparisonPage {
    private static final int WIDTH = 720;
    private static final int HEIGHT = 400;
    private static final int LEFT = 60;
    private static final int BOTTOM = 50;
    private static final int TOP = 20;
    private static final int RIGHT = 20;
    private static final List<String> COLORS = List.of("var(--npp)", "var(--muted)", "var(--text)");

    private FlowComparisonPage() {}

    /**
     * Renders the page.
     *
     * @param comparison the figures
     * @param sheets pictures, one for each model
     * @return HTML
     */
    public static String render(FlowComparison comparison, List<SampleSheet> sheets) {
        Map<String, Object> page = new LinkedHashMap<>();
        page.put("css", resource("report.css"));
        page.put("images", count(comparison.images()));
        page.put("referenceImages", count(comparison.referenceImages()));
        page.put("referenceAgreement", percent(comparison.referenceAgreement()));
        page.put("network", comparison.network());
        page.put("guidance", PageParts.trimmed(comparison.guidance()));
        page.put("lead", lead(comparison));
        page.put("sheets", sheets.stream().map(PageParts::sheet).toList());
        page.put("chart", chart(comparison));
        page.put("points", points(comparison));
        page.put("models", models(comparison));
        page.put(
                "ratios",
                comparison.ratios().stream().map(FlowComparisonPage::row).toList());
        page.put(
                "published",
                comparison.published().stream().map(FlowComparisonPage::row).toList());
        Map<String, Object> environment = new LinkedHashMap<>();
        environment.put("Data", comparison.data());
        environment.put("Seed", comparison.seed());
        environment.put("Command", comparison.environment().commandLine());
        environment.put("Started", comparison.environment().startedAt());
        comparison.environment().versions().forEach((name, version) -> environment.put("Version of " + name, version));
        environment.put("ND4J backend", comparison.environment().backend());
        environment.put("BLAS", comparison.environment().blas());
        environment.put("Processor cores", comparison.environment().cores());
        page.put("environment", rows(environment));
        return Mustache.compiler()
                .escapeHTML(true)
                .compile(resource("flows.html"))
                .execute(page);
    }

    private static String lead(FlowComparison comparison) {
        List<String> sentences = new ArrayList<>();
        for (FlowComparison.Ratio ratio : comparison.ratios()) {
            if (ratio.operations() != null && ratio.quality().startsWith("the best")) {
                sentences.add("At the best FID that both reach, " + fixed(ratio.fid(), 2) + ", the baseline takes "
                        + fixed(ratio.operations(), 2) + " times the operations and " + fixed(ratio.seconds(), 2)
                        + " times the seconds of " + ratio.model() + ".");
            }
        }
        return String.join(" ", sentences);
    }

    private static List<Map<String, Object>> points(FlowComparison comparison) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (FlowComparison.Model model : comparison.models()) {
            for (FlowComparison.Point point : model.points()) {
                rows.add(Map.of(
                        "model", model.name(),
                        "steps", point.steps(),
                        "gflop", fixed(point.gflop(), 3),
                        "milliseconds", fixed(1000 * point.seconds(), 1),
                        "fid", fixed(point.fid(), 2),
                        "agreement", percent(point.agreement())));
            }
        }
        return rows;
    }

    private static List<Map<String, Object>> models(FlowComparison comparison) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (FlowComparison.Model model : comparison.models()) {
            FlowComparison.Training training = model.training();
            rows.add(Map.of(
                    "model", model.name(),
                    "parameters", count(model.parameters()),
                    "gflop", fixed(model.gflopTrainingImage(), 3),
                    "images", training == null ? "before" : count(training.images()),
                    "teraflop", training == null ? "" : fixed(training.teraflop(), 2),
                    "seconds", training == null ? "" : fixed(training.seconds(), 0),
                    "loss", training == null ? "" : fixed(training.loss(), 4)));
        }
        return rows;
    }

    private static Map<String, Object> row(FlowComparison.Ratio ratio) {
        return Map.of(
                "model", ratio.model(),
                "quality", ratio.quality(),
                "fid", fixed(ratio.fid(), 2),
                "steps", ratio.steps() == null ? "never" : ratio.steps().toString(),
                "baselineSteps",
                        ratio.baselineSteps() == null
                                ? "never"
                                : ratio.baselineSteps().toString(),
                "operations", ratio.operations() == null ? "" : fixed(ratio.operations(), 2),
                "seconds", ratio.seconds() == null ? "" : fixed(ratio.seconds(), 2));
    }

    private static Map<String, Object> row(FlowComparison.Published cost) {
        return Map.of(
                "name", cost.name(),
                "parameters", count(cost.parameters()),
                "steps", cost.steps(),
                "teraflop", fixed(cost.teraflop(), 2),
                "ratio", fixed(cost.ratio(), 1));
    }

    /** FID against operations of an image, both on logarithmic axes. */
    static String chart(FlowComparison comparison) {
        double[] x = range(comparison, true);
        double[] y = range(comparison, false);
        StringBuilder svg = new StringBuilder(String.format(
                Locale.ROOT,
                "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"FID against operations of an image. The table"
                        + " below has the figures.\" font-size=\"13\" fill=\"var(--text)\">%n",
                WIDTH,
                HEIGHT));
        for (double at : ticks(x)) {
            double px = place(at, x, LEFT, WIDTH - RIGHT);
            line(svg, px, TOP, px, HEIGHT - BOTTOM);
            text(svg, px, HEIGHT - BOTTOM + 18, "middle", number(at));
        }
        for (double at : ticks(y)) {
            double py = place(at, y, HEIGHT - BOTTOM, TOP);
            line(svg, LEFT, py, WIDTH - RIGHT, py);
            text(svg, LEFT - 8, py + 4, "end", number(at));
        }
        text(svg, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10, "middle", "GFLOP of an image");
        text(svg, LEFT, TOP - 6, "middle", "FID");
        int index = 0;
        for (FlowComparison.Model model : comparison.models()) {
            boolean baseline = index == comparison.models().size() - 1;
            String color = baseline ? "var(--ntp)" : COLORS.get(index % COLORS.size());
            List<String> points = new ArrayList<>();
            for (FlowComparison.Point point : model.points()) {
                double px = place(point.gflop(), x, LEFT, WIDTH - RIGHT);
                double py = place(point.fid(), y, HEIGHT - BOTTOM, TOP);
                points.add(String.format(Locale.ROOT, "%.1f,%.1f", px, py));
                svg.append(String.format(
                        Locale.ROOT, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>%n", px, py, color));
                text(svg, px + 5, py - 6, "start", Integer.toString(point.steps()));
            }
            svg.append("<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"")
                    .append(color)
                    .append(baseline ? "\" stroke-dasharray=\"5 3" : "")
                    .append("\" points=\"")
                    .append(String.join(" ", points))
                    .append("\"/>\n");
            svg.append(String.format(
                    Locale.ROOT,
                    "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"%s\">%s</text>%n",
                    WIDTH - RIGHT - 6,
                    TOP + 18 + 18 * index,
                    color,
                    model.name().replace("&", "&amp;").replace("<", "&lt;")));
            index++;
        }
        return svg.append("</svg>").toString();
    }

    private static double[] range(FlowComparison comparison, boolean operations) {
        double[] values = comparison.models().stream()
                .flatMap(model -> model.points().stream())
                .mapToDouble(point -> operations ? point.gflop() : point.fid())
                .map(value -> Math.max(value, 1e-6))
                .sorted()
                .toArray();
        return new double[] {values[0] / 1.2, values[values.length - 1] * 1.2};
    }

    /** 1, 2 and 5 times the powers of ten. */
    private static List<Double> ticks(double[] range) {
        List<Double> ticks = new ArrayList<>();
        for (int power = (int) Math.floor(Math.log10(range[0])); Math.pow(10, power) <= range[1]; power++) {
            for (int factor : new int[] {1, 2, 5}) {
                double at = factor * Math.pow(10, power);
                if (at >= range[0] && at <= range[1]) {
                    ticks.add(at);
                }
            }
        }
        return ticks;
    }

    private static double place(double value, double[] range, double from, double to) {
        return from + (to - from) * Math.log(Math.max(value, range[0]) / range[0]) / Math.log(range[1] / range[0]);
    }

    private static String number(double value) {
        return value >= 1
                ? fixed(value, 0)
                : String.format(Locale.ROOT, "%.3g", value).replaceAll("0+$", "");
    }

    private static void line(StringBuilder svg, double x1, double y1, double x2, double y2) {
        svg.append(String.format(
                Locale.ROOT,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"var(--grid)\"/>%n",
                x1,
                y1,
                x2,
                y2));
    }

    private static void text(StringBuilder svg, double x, double y, String anchor, String text) {
        svg.append(String.format(
                Locale.ROOT, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>%n", x, y, anchor, text));
    }
}
