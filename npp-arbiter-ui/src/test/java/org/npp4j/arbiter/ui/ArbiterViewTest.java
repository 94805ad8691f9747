package org.npp4j.arbiter.ui;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.arbiter.PatchPlanSpace;
import org.npp4j.arbiter.Sweep;
import org.npp4j.arbiter.SweepListener;
import org.npp4j.arbiter.SweepView;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;

class ArbiterViewTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    @TempDir
    private Path folder;

    private URI address;

    @Test
    void showsASweepWhileItRunsAndAfter() throws Exception {
        SweepView view = ServiceLoader.load(SweepView.class).findFirst().orElseThrow();
        assertInstanceOf(ArbiterView.class, view);
        List<String> during = new ArrayList<>();
        List<CandidateResult> results;
        try (view) {
            address = view.open(0);
            assertEquals("/arbiter", address.getPath());
            assertEquals(404, get("/arbiter/candidateInfo/0").statusCode(), "nothing to show yet");
            Sweep sweep = sweep(new double[] {1e-2}, view, during);
            view.show(sweep);
            assertEquals(Map.of("done", "0", "queued", "2", "failed", "0", "total", "2"), counts());
            results = sweep.run();
            assertEquals(
                    List.of("[\"0\",\"\",\"Running\"]", "steps 1 of 8", "[\"1\",\"\",\"Running\"]", "steps 1 of 8"),
                    during);

            assertEquals(Map.of("done", "2", "queued", "0", "failed", "0", "total", "2"), counts());
            JsonNode table = json("/arbiter/results");
            assertEquals(2, table.size());
            for (CandidateResult result : results) {
                JsonNode row = row(table, result.index());
                assertEquals(
                        result.score().getAsDouble(),
                        row.get(1).asDouble(),
                        1e-5 * result.score().getAsDouble());
                assertEquals("Complete", row.get(2).asText());
                Map<String, String> details = rows(json("/arbiter/candidateInfo/" + result.index()));
                assertEquals(result.plan().toString(), details.get("Patch plan"));
                assertEquals("done", details.get("Status"));
                assertEquals("8 of 8", details.get("Steps"));
                assertEquals(result.folder(), details.get("Folder"));
                assertEquals(
                        result.score().getAsDouble(),
                        Double.parseDouble(details.get("Score: test loss, nats per token")),
                        1e-5 * result.score().getAsDouble());
                assertTrue(
                        details.get("Cost").contains(String.format(Locale.ROOT, "%.3f times", result.relativeCost())));
            }
            CandidateResult staged = results.get(1);
            assertEquals("2:2,1:4", staged.plan().stages().toString());
            assertEquals(
                    "patches of 2 x 2 for 2 epochs, then next-token prediction for 2 epochs",
                    rows(json("/arbiter/candidateInfo/1")).get("In words"));
            JsonNode chart = json("/arbiter/candidateInfo/1").findValue("ChartLine");
            assertEquals("[\"p = 2\",\"p = 1\"]", chart.get("seriesNames").toString());
            assertEquals("[0.5,1.0,1.5,2.0]", chart.get("x").get(0).toString());
            assertEquals("[2.5,3.0,3.5,4.0]", chart.get("x").get(1).toString());
            chart.get("y").get(0).forEach(loss -> assertTrue(loss.asDouble() > 0));

            JsonNode summary = json("/arbiter/summary");
            assertEquals(
                    Sweep.best(results).orElseThrow().score().getAsDouble(),
                    Double.parseDouble(rows(summary).get("Best Score")),
                    1e-4);
            assertEquals(2, summary.findValue("ChartScatter").get("y").get(0).size());
            Map<String, String> settings = rows(json("/arbiter/config"));
            assertEquals("grid search", settings.get("Candidate generator"));
            assertEquals("1,2", settings.get("patchLevel"));
        }
        assertThrows(ConnectException.class, () -> get("/arbiter"), "the pages end");
    }

    @Test
    void theWholePageIsServedFromHereAndNothingElse() throws Exception {
        try (SweepView view = new ArbiterView()) {
            address = view.open(0);
            HttpResponse<String> page = get("/arbiter");
            assertEquals(200, page.statusCode());
            assertTrue(page.headers().firstValue("content-type").orElseThrow().startsWith("text/html"));
            Matcher part = Pattern.compile("(?:src|href)=\"(/assets/[^\"]+)\"").matcher(page.body());
            int parts = 0;
            while (part.find()) {
                parts++;
                assertEquals(200, get(part.group(1)).statusCode(), part.group(1));
            }
            assertEquals(7, parts);
            assertFalse(page.body().contains("=\"http"), "nothing from elsewhere");
            assertEquals("/arbiter", get("/").headers().firstValue("location").orElseThrow());
            for (String wrong : List.of("/assets/../pom.xml", "/assets/webjars/%2e%2e/x", "/assets/", "/train")) {
                assertEquals(404, get(wrong).statusCode(), wrong);
            }
            try (SweepView second = new ArbiterView()) {
                String message = assertThrows(IOException.class, () -> second.open(address.getPort()))
                        .getMessage();
                assertTrue(
                        message.startsWith("The port " + address.getPort() + " of 127.0.0.1 cannot be had"), message);
            }
        }
    }

    @Test
    void candidatesOfAnEarlierRunAndFailuresAreShown() throws Exception {
        sweep(new double[] {1e-2}, new SweepListener() {}, new ArrayList<>()).run();
        try (SweepView view = new ArbiterView()) {
            address = view.open(0);
            Sweep sweep = sweep(new double[] {1e-2, 1e9}, view, new ArrayList<>());
            view.show(sweep);
            List<CandidateResult> results = sweep.run();
            long failed = results.stream()
                    .filter(each -> each.status() == CandidateResult.Status.FAILED)
                    .count();
            assertTrue(failed > 0, results::toString);
            Map<String, String> counts = counts();
            assertEquals(String.valueOf(failed), counts.get("failed"));
            assertEquals(String.valueOf(results.size() - failed), counts.get("done"));
            assertEquals("0", counts.get("queued"));
            JsonNode table = json("/arbiter/results");
            assertEquals(results.size(), table.size());
            for (CandidateResult result : results) {
                Map<String, String> details = rows(json("/arbiter/candidateInfo/" + result.index()));
                assertEquals(result.plan().toString(), details.get("Patch plan"));
                if (result.status() == CandidateResult.Status.FAILED) {
                    assertEquals(result.reason(), details.get("Reason"));
                    assertEquals("Failed", row(table, result.index()).get(2).asText());
                }
                assertEquals(
                        result.plan().learningRate() == 1e-2,
                        details.containsKey("Loss curve"),
                        "that of an earlier run is not kept");
            }
        }
    }

    /** Four epochs of two steps each, by patch levels 1 and 2; notes what the pages say after each first step. */
    private Sweep sweep(double[] learningRates, SweepListener view, List<String> during) throws IOException {
        GptSpec model = GptSpec.of(1, 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(11)
                .classes(3)
                .grid(TokenGrid.of(4, 4))
                .build();
        TrainingPlan plan =
                TrainingPlan.of(model).batchSize(8).learningRate(1e-2).seed(5).build();
        PatchPlanSpace space = new PatchPlanSpace.Builder(4)
                .patchLevels(1, 2)
                .epochRates(0.5)
                .learningRates(learningRates)
                .build();
        return new Sweep.Builder(space, plan, ArbiterViewTest::trainer, folder)
                .dataDescription(Map.of("images", "random"))
                .listener(view)
                .listener(new SweepListener() {
                    @Override
                    public void onStep(int index, PatchPlan each, Trainer trainer, TrainingStep step) {
                        if (step.step() == 1 && address != null) {
                            during.add(row(json("/arbiter/results"), index).toString());
                            during.add("steps "
                                    + rows(json("/arbiter/candidateInfo/" + index))
                                            .get("Steps"));
                        }
                    }
                })
                .build();
    }

    private static Trainer.Builder trainer(TrainingPlan plan) {
        return new Trainer.Builder(plan, data(plan, 16, 1, false))
                .testData(data(plan, 4, 2, true))
                .dataDescription(Map.of("images", "random"));
    }

    private static TokenDataSetIterator data(TrainingPlan plan, int count, long seed, boolean keepLastShort) {
        Random random = new Random(seed);
        int[][] tokens = new int[count][plan.model().grid().tokens()];
        int[] classes = new int[count];
        for (int i = 0; i < count; i++) {
            classes[i] = i % plan.model().classes();
            Arrays.setAll(tokens[i], k -> random.nextInt(plan.model().vocabulary()));
        }
        return new TokenDataSetIterator(tokens, classes, plan.batchSize(), keepLastShort, plan.seed());
    }

    private Map<String, String> counts() {
        Map<String, String> rows = rows(json("/arbiter/summary"));
        return Map.of(
                "done", rows.get("Models Completed"),
                "queued", rows.get("Models Queued/Running"),
                "failed", rows.get("Models Failed"),
                "total", rows.get("Models Total"));
    }

    private static JsonNode row(JsonNode table, int index) {
        for (JsonNode row : table) {
            if (row.get(0).asText().equals(String.valueOf(index))) {
                return row;
            }
        }
        throw new AssertionError("no row of candidate " + index + " in " + table);
    }

    /** All rows of all tables. */
    private static Map<String, String> rows(JsonNode component) {
        Map<String, String> rows = new HashMap<>();
        for (JsonNode table : component.findValues("content")) {
            table.forEach(row -> rows.put(row.get(0).asText(), row.get(1).asText()));
        }
        return rows;
    }

    private JsonNode json(String path) {
        try {
            HttpResponse<String> response = get(path);
            assertEquals(200, response.statusCode(), path);
            return JSON.readTree(response.body());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return CLIENT.send(HttpRequest.newBuilder(address.resolve(path)).build(), HttpResponse.BodyHandlers.ofString());
    }
}
