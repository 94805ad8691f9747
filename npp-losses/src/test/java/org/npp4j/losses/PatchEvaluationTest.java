package org.npp4j.losses;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.deeplearning4j.datasets.iterator.ExistingDataSetIterator;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.evaluation.BaseEvaluation;
import org.nd4j.evaluation.classification.Evaluation;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.PatchEvaluation.Metric;
import org.npp4j.losses.PatchEvaluation.Predictions;
import org.npp4j.losses.impl.RowOrder;

class PatchEvaluationTest {
    /** The share of counted tokens with fewer than {@code top} larger logits. */
    private static double top(PlainLoop plain, INDArray z, int top) {
        int hits = 0;
        for (int s = 0; s < plain.batch; s++) {
            for (int n = 0; n < plain.tokens(); n++) {
                int row = plain.row(s, n, RowOrder.BATCH_MAJOR);
                double own = z.getDouble(row, plain.ids[s][n]);
                long larger = IntStream.range(0, plain.vocabulary)
                        .filter(v -> z.getDouble(row, v) > own)
                        .count();
                hits += plain.mask[s][n] == 1 && larger < top ? 1 : 0;
            }
        }
        return (double) hits / plain.counted();
    }

    @Test
    void equalsPlainLoopsOnRandomShapes() {
        Random random = new Random(3);
        for (TokenGrid grid : List.of(TokenGrid.of(4, 6), TokenGrid.of(2, 2), TokenGrid.of(1, 6))) {
            for (int p : grid.patchSides()) {
                PlainLoop plain = new PlainLoop(3, grid.getHeight(), grid.getWidth(), p, 3 + random.nextInt(9), random)
                        .mask(random);
                INDArray z = Nd4j.randn(DataType.DOUBLE, plain.rows(), plain.vocabulary);
                INDArray nwc = z.reshape(3, plain.positions(), plain.vocabulary);
                INDArray labels = plain.labels(DataType.INT32);
                double nats = plain.loss(z, RowOrder.BATCH_MAJOR);

                PatchEvaluation ofLogits = new PatchEvaluation(grid);
                ofLogits.eval(labels, nwc, plain.mask());
                PatchEvaluation ofProbabilities = new PatchEvaluation(grid, Predictions.PROBABILITIES, RNNFormat.NCW);
                ofProbabilities.eval(
                        labels, Nd4j.nn.softmax(nwc, 2).permute(0, 2, 1).dup(), plain.mask());
                PatchEvaluation ofTimeMajorRows = new PatchEvaluation(grid);
                ofTimeMajorRows.eval(
                        labels, nwc.permute(1, 0, 2).reshape(plain.rows(), plain.vocabulary), plain.mask());
                for (PatchEvaluation evaluation : List.of(ofLogits, ofProbabilities, ofTimeMajorRows)) {
                    assertEquals(Set.of(p), evaluation.patchSides());
                    assertEquals(plain.counted(), evaluation.tokens(p));
                    assertEquals(nats, evaluation.getValue(Metric.CROSS_ENTROPY, p), 1e-9);
                    assertEquals(Math.exp(nats), evaluation.getValue(Metric.PERPLEXITY), 1e-8);
                    assertEquals(top(plain, z, 1), evaluation.getValue(Metric.TOP_1, p), 1e-12);
                    assertEquals(top(plain, z, 5), evaluation.getValue(Metric.TOP_5, p), 1e-12);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"true, NWC, IDENTITY", "true, NCW, SOFTMAX", "false, NWC, SOFTMAX", "false, NCW, IDENTITY"})
    void evaluatesNetworks(boolean graph, RNNFormat format, Activation activation) {
        Networks networks = new Networks(TokenGrid.of(4, 6), 2).graph(graph).format(format);
        Model network = networks.build(networks.head().activation(activation).build());
        DataSet first = networks.data(2, 1);
        DataSet second = networks.data(3, 2);
        first.setLabelsMaskArray(Networks.mask(2, 24, 3));
        second.setLabelsMaskArray(Networks.mask(3, 24, 4));
        PatchEvaluation evaluation = PatchEvaluation.of(network);
        DataSetIterator iterator = new ExistingDataSetIterator(List.of(first, second));
        if (network instanceof ComputationGraph) {
            ((ComputationGraph) network).doEvaluation(iterator, evaluation);
        } else {
            ((MultiLayerNetwork) network).doEvaluation(iterator, evaluation);
        }
        long firstTokens = first.getLabelsMaskArray().sumNumber().longValue();
        long secondTokens = second.getLabelsMaskArray().sumNumber().longValue();
        double expected =
                (firstTokens * Networks.score(network, first) + secondTokens * Networks.score(network, second))
                        / (firstTokens + secondTokens);
        assertEquals(firstTokens + secondTokens, evaluation.tokens(2));
        assertEquals(expected, evaluation.getValue(Metric.CROSS_ENTROPY), 1e-9);
        assertEquals(1, evaluation.getValue(Metric.TOP_5), "five tokens in all");
    }

    @Test
    void mergesResetsAndSurvivesJson() {
        TokenGrid grid = TokenGrid.of(2, 2);
        INDArray labels = Nd4j.createFromArray(new int[][] {{0, 1, 1, 2}});
        PatchEvaluation coarse = new PatchEvaluation(grid);
        coarse.eval(labels, Nd4j.createFromArray(new double[][][] {{{1, 2, 3}}}));
        PatchEvaluation fine = coarse.newInstance();
        fine.eval(labels, Nd4j.createFromArray(new double[][][] {{{1, 2, 3}, {3, 2, 1}, {1, 3, 2}, {9, 1, 1}}}));
        double coarseNats = coarse.getValue(Metric.CROSS_ENTROPY);
        double fineNats = fine.getValue(Metric.CROSS_ENTROPY);
        assertEquals(0.25, coarse.getValue(Metric.TOP_1));
        assertEquals(0.25, fine.getValue(Metric.TOP_1));

        coarse.merge(fine);
        assertEquals(Set.of(1, 2), coarse.patchSides());
        assertEquals((coarseNats + fineNats) / 2, coarse.getValue(Metric.CROSS_ENTROPY), 1e-12);
        assertEquals(fineNats, coarse.getValue(Metric.CROSS_ENTROPY, 1), 1e-12);
        assertEquals(4, coarse.stats().lines().count(), coarse.stats());
        assertTrue(coarse.stats().contains("all           8"), coarse.stats());

        PatchEvaluation read = BaseEvaluation.fromJson(coarse.toJson(), PatchEvaluation.class);
        assertEquals(coarse, read);
        assertEquals(coarse.stats(), read.stats());
        coarse.reset();
        assertEquals(coarse.newInstance(), coarse);
        assertTrue(Double.isNaN(coarse.getValue(Metric.CROSS_ENTROPY)));
        assertTrue(Metric.PERPLEXITY.minimize() && !Metric.TOP_1.minimize());
    }

    @Test
    void impossibleProbabilitiesAreBounded() {
        PatchEvaluation evaluation = new PatchEvaluation(null, Predictions.PROBABILITIES, RNNFormat.NWC);
        evaluation.eval(Nd4j.createFromArray(new int[][] {{0, 0}}), Nd4j.createFromArray(new float[][][] {{{0, 1}}}));
        assertEquals(87.3, evaluation.getValue(Metric.CROSS_ENTROPY), 0.05);
    }

    @Test
    void badInputIsRefused() {
        PatchEvaluation evaluation = new PatchEvaluation(TokenGrid.of(2, 2));
        refused("rank", () -> evaluation.eval(Nd4j.zeros(4), Nd4j.zeros(1, 4, 3)));
        refused("(NWC)", () -> evaluation.eval(Nd4j.zeros(1, 4), Nd4j.zeros(4)));
        refused("PatchEvaluation.Metric", () -> evaluation.getValue(Evaluation.Metric.F1));
        refused("different grids", () -> evaluation.merge(new PatchEvaluation(TokenGrid.of(4, 4))));
        assertEquals(Set.of(), evaluation.patchSides());
    }

    private static void refused(String part, Runnable action) {
        IllegalArgumentException error = assertThrows(IllegalArgumentException.class, action::run);
        assertTrue(error.getMessage().contains(part), error.getMessage());
    }
}
