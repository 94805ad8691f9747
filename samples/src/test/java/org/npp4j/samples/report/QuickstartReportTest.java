package org.npp4j.samples.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import org.junit.jupiter.api.Test;

class QuickstartReportTest {
    private final QuickstartReport report = MadeUpReport.report();

    @Test
    void jsonHasThePromisedShape() throws Exception {
        JsonNode json = new ObjectMapper().readTree(report.toJson());
        for (String model : List.of("ntp", "npp")) {
            for (String figure : List.of("train_seconds", "train_gflop", "test_nll_per_token")) {
                assertTrue(json.path(model).path(figure).isNumber(), model + "." + figure);
            }
        }
        assertEquals(66.8 / 103.2, json.path("ratio").path("train_seconds").asDouble());
        assertEquals(
                (541 + 2161) / 4321.0, json.path("ratio").path("train_gflop").asDouble());
        assertEquals(1.87, json.path("peak_rss_gib").asDouble());
        assertEquals(231.4, json.path("total_seconds").asDouble());
    }

    @Test
    void jsonHoldsWhatThePageShows() throws Exception {
        JsonNode json = new ObjectMapper().readTree(report.toJson());
        assertEquals(2, json.at("/npp/stages").size());
        assertEquals(2, json.at("/npp/stages/0/patch_side").asInt());
        assertEquals(
                json.at("/npp/curve/seconds").size(), json.at("/npp/curve/loss").size());
        assertTrue(json.at("/npp/images_per_second").isNumber());
        assertEquals(0.002, json.at("/settings/learning_rate").asDouble());
        assertEquals("17.0.15", json.at("/environment/versions/Java").asText());
        assertEquals("OPENBLAS", json.at("/environment/blas").asText());
        assertEquals(64, json.at("/data/tokens_per_image").asInt());
        assertEquals("npp.png", json.at("/pictures/NPP").asText());
        assertEquals(32.4, json.at("/ntp/drawn/fid").asDouble(), 1e-9);
        assertEquals(0.88, json.at("/npp/drawn/classifier_agreement").asDouble(), 1e-9);
        assertEquals("cnn-made-up", json.at("/npp/drawn/network").asText());
        assertFalse(json.path("determinism").asText().isEmpty());
    }

    @Test
    void curveAveragesWithinAStage() {
        LossCurve.Recorder recorder = new LossCurve.Recorder(2);
        recorder.add(1, 10, 4, 2);
        recorder.add(2, 20, 2, 2);
        recorder.add(3, 30, 8, 2);
        recorder.add(4, 40, 1, 1);
        LossCurve curve = recorder.curve();
        assertEquals(List.of(3.0, 8.0, 1.0), curve.loss());
        assertEquals(List.of(2.0, 3.0, 4.0), curve.seconds());
        assertEquals(List.of(20L, 30L, 40L), curve.images());
        assertEquals(List.of(2, 2, 1), curve.patchSide());
    }

    @Test
    void curveRefusesListsOfDifferentLength() {
        Exception e = assertThrows(
                IllegalArgumentException.class, () -> new LossCurve(List.of(1.0), List.of(), List.of(1.0), List.of(1)));
        assertTrue(e.getMessage().contains("1 times, 0 image counts"), e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> new LossCurve.Recorder(0));
    }
}
