package org.npp4j.samples.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TrainingPageTest {
    private static final int POINTS = 4500;

    private final String page = TrainingPage.render(report(POINTS));
    private final String markup = PageMarkup.withoutScripts(page);

    private static TrainingReport report(int count) {
        List<TrainingPoint> points = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            int stage = i <= count / 3 ? 0 : 1;
            points.add(new TrainingPoint(
                    i,
                    i / 10,
                    stage,
                    2 - stage,
                    1e-4,
                    i == 1 ? Double.NaN : 5.0 / i,
                    6,
                    0.5,
                    8L * i,
                    i,
                    100.0 * i,
                    8,
                    1));
        }
        return new TrainingReport(
                "GPT <b>",
                "step 1 & 2",
                "A \"lead\".",
                "2026-01-01T00:00:00Z",
                new TrainingReport.Loss("loss", "In <nats>.", true, true),
                points,
                List.of(
                        new CheckpointPoint(10, 10, 1000, 0.5, 0.7, null),
                        new CheckpointPoint(20, 20, 2000, null, 0.6, 0.65)),
                List.of(new SampleSheet("Step 10", "a.png", "Images <i>", new byte[] {1, 2})),
                "Classes 0, 1",
                new TrainingReport.Table(List.of("Stage", "p"), List.of(List.of("1", "2"), List.of("2", "1"))),
                "0.6 times",
                Map.of("Seed", 0),
                Map.of("Data", "</script><script>alert(1)"),
                MadeUpReport.report().environment(),
                12,
                1.5);
    }

    @Test
    void isWellFormedAndLoadsNothing() {
        PageMarkup.assertClosed(markup);
        assertTrue(markup.contains("default-src 'none'"));
        assertFalse(markup.contains("src=\"http"), "no address");
    }

    @Test
    void textIsEscaped() {
        assertTrue(markup.contains("<h1>GPT &lt;b&gt;: <strong>step 1 &amp; 2</strong></h1>"), markup);
        assertTrue(markup.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
        assertTrue(markup.contains("alt=\"Images &lt;i&gt;\""));
        assertEquals(3, page.split("</script>", -1).length - 1, "the page's own scripts");
    }

    @Test
    void longCurvesAreMeansWithinAStage() throws IOException {
        JsonNode runs = curves(page);
        JsonNode training = runs.get(0);
        int size = training.get("steps").size();
        assertTrue(size <= 2000, size + " points");
        assertTrue(training.get("loss").get(0).isNull(), "NaN leaves a gap");
        assertEquals(POINTS, training.get("steps").get(size - 1).asInt());
        assertEquals(POINTS / 10.0, training.get("tflop").get(size - 1).asDouble(), 1e-9);
        assertEquals(5.0 / POINTS, training.get("loss").get(size - 1).asDouble(), 1e-5);
        assertEquals("Test", runs.get(1).get("model").asText());
        assertEquals(2, runs.get(1).get("steps").size());
        assertEquals(1, runs.get(2).get("steps").size(), "one checkpoint tested the average");
        assertEquals(
                5, curves(TrainingPage.render(report(5))).get(0).get("steps").size(), "short curves stay");
    }

    private static JsonNode curves(String rendered) throws IOException {
        String start = "id=\"curves\">";
        int from = rendered.indexOf(start) + start.length();
        return new ObjectMapper().readTree(rendered.substring(from, rendered.indexOf("<", from)));
    }

    @Test
    void aRunThatHasJustBegun() {
        PageMarkup.assertClosed(PageMarkup.withoutScripts(TrainingPage.render(report(0))));
    }
}
