package org.npp4j.arbiter.ui;

import io.netty.handler.codec.http.HttpResponseStatus;
import io.vertx.core.buffer.Buffer;
import io.vertx.ext.web.RoutingContext;
import java.awt.Color;
import java.io.IOException;
import java.io.InputStream;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.deeplearning4j.arbiter.ui.module.ArbiterModule;
import org.deeplearning4j.nn.conf.serde.JsonMappers;
import org.deeplearning4j.ui.api.Component;
import org.deeplearning4j.ui.api.HttpMethod;
import org.deeplearning4j.ui.api.LengthUnit;
import org.deeplearning4j.ui.api.Route;
import org.deeplearning4j.ui.components.chart.ChartLine;
import org.deeplearning4j.ui.components.chart.style.StyleChart;
import org.deeplearning4j.ui.components.component.ComponentDiv;
import org.deeplearning4j.ui.components.component.style.StyleDiv;
import org.deeplearning4j.ui.components.table.ComponentTable;
import org.deeplearning4j.ui.components.table.style.StyleTable;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.arbiter.Sweep;
import org.npp4j.schedule.PatchStages;

/** Arbiter's pages, with its own parts for the settings and for the details of a candidate. */
final class ArbiterPages extends ArbiterModule {
    static final String PAGE = "/arbiter";

    private static final String CONFIG = PAGE + "/config";
    private static final String CANDIDATE = PAGE + "/candidateInfo/:id";
    private static final Set<String> OWN = Set.of(PAGE, CONFIG, CANDIDATE);

    private static final String TEMPLATE = "templates/ArbiterUI.html";
    private static final String WEBJARS = "webjars/";
    private static final String NAME = "[A-Za-z0-9][A-Za-z0-9._-]*";
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss").withZone(ZoneId.systemDefault());

    private static final StyleTable TABLE = new StyleTable.Builder()
            .width(100, LengthUnit.Percent)
            .backgroundColor(Color.WHITE)
            .borderWidth(1)
            .columnWidths(LengthUnit.Percent, 30, 70)
            .build();
    private static final StyleDiv WHOLE_WIDTH =
            new StyleDiv.Builder().width(100, LengthUnit.Percent).build();
    private static final ComponentDiv SPACER = new ComponentDiv(new StyleDiv.Builder()
            .width(100, LengthUnit.Percent)
            .height(20, LengthUnit.Px)
            .build());
    private static final StyleChart CHART = new StyleChart.Builder()
            .width(800, LengthUnit.Px)
            .height(400, LengthUnit.Px)
            .margin(LengthUnit.Px, 60, 40, 60, 20)
            .build();

    private volatile Sweep sweep;
    private Map<Integer, CandidateProgress> trained = Map.of();

    /** The sweep to show, and the candidates that it trains, to be read with their lock held. */
    void show(Sweep shown, Map<Integer, CandidateProgress> candidates) {
        trained = candidates;
        sweep = shown;
    }

    @Override
    public List<Route> getRoutes() {
        List<Route> routes = new ArrayList<>(super.getRoutes());
        routes.removeIf(route -> OWN.contains(route.getRoute()));
        routes.add(new Route("/", HttpMethod.GET, (path, context) -> context.response()
                .setStatusCode(HttpResponseStatus.FOUND.code())
                .putHeader("location", PAGE)
                .end()));
        routes.add(new Route(PAGE, HttpMethod.GET, (path, context) -> resource(TEMPLATE, context)));
        routes.add(new Route("/assets/*", HttpMethod.GET, (path, context) -> asset(context)));
        routes.add(new Route(CONFIG, HttpMethod.GET, (path, context) -> json(settings(), context)));
        routes.add(new Route(CANDIDATE, HttpMethod.GET, (path, context) -> candidate(path.get(0), context)));
        return routes;
    }

    private static void asset(RoutingContext context) {
        String path = context.request().path().substring("/assets/".length());
        if (!path.matches(NAME + "(/" + NAME + ")*")) {
            context.fail(HttpResponseStatus.NOT_FOUND.code());
            return;
        }
        resource((path.startsWith(WEBJARS) ? "META-INF/resources/" : "deeplearning4jUiAssets/") + path, context);
    }

    private static void resource(String name, RoutingContext context) {
        try (InputStream in = ArbiterPages.class.getClassLoader().getResourceAsStream(name)) {
            if (in == null) {
                context.fail(HttpResponseStatus.NOT_FOUND.code());
                return;
            }
            context.response().putHeader("content-type", contentType(name)).end(Buffer.buffer(in.readAllBytes()));
        } catch (IOException e) {
            context.fail(e);
        }
    }

    private static String contentType(String name) {
        return switch (name.substring(name.lastIndexOf('.') + 1)) {
            case "html" -> "text/html; charset=utf-8";
            case "js" -> "text/javascript; charset=utf-8";
            case "css" -> "text/css; charset=utf-8";
            case "png" -> "image/png";
            case "gif" -> "image/gif";
            default -> "application/octet-stream";
        };
    }

    private static void json(Component component, RoutingContext context) {
        try {
            context.response()
                    .putHeader("content-type", "application/json")
                    .end(JsonMappers.getMapper().writeValueAsString(component));
        } catch (JsonProcessingException e) {
            context.fail(e);
        }
    }

    private Component settings() {
        Sweep shown = sweep;
        Map<String, String> rows = new LinkedHashMap<>();
        if (shown != null) {
            rows.put("Candidate generator", shown.generator() + " search");
            rows.put("Score, lower is better", shown.score().name());
            rows.put("Folder of results", shown.folder().toString());
            new TreeMap<>(shown.data()).forEach((name, value) -> rows.put("Data: " + name, value));
        }
        Map<String, String> space = new LinkedHashMap<>();
        if (shown != null) {
            if (shown.space().epochs() > 0) {
                space.put("epochs", String.valueOf(shown.space().epochs()));
            }
            space.putAll(shown.space().values());
        }
        return new ComponentDiv(
                WHOLE_WIDTH,
                table("Configuration", "Value", rows),
                SPACER,
                table("Parameter", "Values to choose from", space));
    }

    private void candidate(String id, RoutingContext context) {
        Sweep shown = sweep;
        if (shown == null || !id.matches("[0-9]{1,9}")) {
            context.fail(HttpResponseStatus.NOT_FOUND.code());
            return;
        }
        int index = Integer.parseInt(id);
        CandidateProgress progress;
        synchronized (trained) {
            progress = trained.get(index);
        }
        CandidateResult result = progress != null
                ? progress.result()
                : shown.results().stream()
                        .filter(each -> each.index() == index)
                        .findFirst()
                        .orElse(null);
        if (progress == null && result == null) {
            context.fail(HttpResponseStatus.NOT_FOUND.code());
            return;
        }
        List<Component> parts = new ArrayList<>();
        parts.add(table("Candidate", "", about(shown, index, progress, result)));
        if (progress != null && !progress.curve().isEmpty()) {
            parts.add(SPACER);
            parts.add(chart(progress.curve()));
        }
        json(new ComponentDiv(WHOLE_WIDTH, parts), context);
    }

    private static Map<String, String> about(
            Sweep sweep, int index, CandidateProgress progress, CandidateResult result) {
        PatchPlan plan = progress == null ? result.plan() : progress.plan();
        Map<String, String> rows = new LinkedHashMap<>();
        rows.put("Model Index", String.valueOf(index));
        rows.put("Patch plan", plan.toString());
        rows.put("In words", words(plan.stages()));
        rows.put("Status", result == null ? "running" : result.status().name().toLowerCase(Locale.ROOT));
        if (progress != null && progress.totalSteps() > 0) {
            rows.put("Steps", progress.steps() + " of " + progress.totalSteps());
            rows.put("Number of Parameters", String.format(Locale.ROOT, "%,d", progress.parameters()));
            rows.put("Started", TIME.format(Instant.ofEpochMilli(progress.started())));
        }
        if (result != null) {
            result.score()
                    .ifPresent(value ->
                            rows.put("Score: " + sweep.score().name(), String.format(Locale.ROOT, "%.6g", value)));
            result.testLoss().stream()
                    // once is enough where it is the score
                    .filter(value -> value != result.score().orElse(Double.NaN))
                    .forEach(value ->
                            rows.put("Test loss at p = 1, nats per token", String.format(Locale.ROOT, "%.6g", value)));
            if (result.gflop() > 0) {
                rows.put(
                        "Cost",
                        String.format(
                                Locale.ROOT,
                                "%,.1f GFLOP, %.3f times the operations of next-token prediction",
                                result.gflop(),
                                result.relativeCost()));
                rows.put("Training", String.format(Locale.ROOT, "%,.1f s", result.seconds()));
            }
            if (!result.reason().isEmpty()) {
                rows.put("Reason", result.reason());
            }
            rows.put("Ended", TIME.format(Instant.parse(result.finished())));
            rows.put("Folder", result.folder());
        }
        if (progress == null) {
            rows.put("Loss curve", "not kept: trained in an earlier run of the sweep");
        }
        return rows;
    }

    private static String words(PatchStages stages) {
        String unit = stages.unit() == PatchStages.Unit.EPOCHS ? "epoch" : "step";
        return stages.stages().stream()
                .map(stage -> (stage.patchSide() == 1
                                ? "next-token prediction"
                                : "patches of " + stage.patchSide() + " x " + stage.patchSide())
                        + " for " + stage.length() + " " + unit + (stage.length() == 1 ? "" : "s"))
                .collect(Collectors.joining(", then "));
    }

    /** A line for each patch side. */
    private static Component chart(List<CandidateProgress.Point> curve) {
        ChartLine.Builder chart =
                new ChartLine.Builder("Training loss (nats per token) over epochs", CHART).showLegend(true);
        Map<Integer, List<CandidateProgress.Point>> sides = new LinkedHashMap<>();
        for (CandidateProgress.Point point : curve) {
            sides.computeIfAbsent(point.patchSide(), side -> new ArrayList<>()).add(point);
        }
        sides.forEach((side, points) -> chart.addSeries(
                "p = " + side,
                points.stream().mapToDouble(CandidateProgress.Point::epoch).toArray(),
                points.stream().mapToDouble(CandidateProgress.Point::loss).toArray()));
        return chart.build();
    }

    private static ComponentTable table(String left, String right, Map<String, String> rows) {
        return new ComponentTable.Builder(TABLE)
                .header(left, right)
                .content(rows.entrySet().stream()
                        .map(row -> new String[] {row.getKey(), row.getValue()})
                        .toArray(String[][]::new))
                .build();
    }
}
