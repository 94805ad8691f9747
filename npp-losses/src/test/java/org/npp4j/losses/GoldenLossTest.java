package org.npp4j.losses;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.net.URISyntaxException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchTargets;
import org.npp4j.losses.impl.RowOrder;

/** The loss of a PyTorch model's logits is the loss that PyTorch computed. */
class GoldenLossTest {
    private static final TokenGrid GRID = TokenGrid.of(8, 8);

    private static INDArray golden(String name) throws URISyntaxException {
        return Nd4j.createFromNpyFile(
                new File(GoldenLossTest.class.getResource("/golden/" + name).toURI()));
    }

    @ParameterizedTest
    @CsvSource({"1, 5.399265289306641", "2, 5.250410556793213", "4, 5.362716197967529", "8, 5.292287826538086"})
    void equalsPyTorch(int patchSide, double expected) throws URISyntaxException {
        INDArray logits = golden("gpt-tiny.p" + patchSide + ".logits.npy");
        INDArray tokens = golden("gpt-tiny.tokens.npy");
        long k = logits.size(1);

        INDArray batchMajor = logits.reshape(3 * k, 96);
        PatchTargets targets = new PatchTargets(tokens, null, GRID, 3 * k, 96, RowOrder.BATCH_MAJOR);
        assertEquals(patchSide, targets.patchSide());
        assertEquals(expected, targets.losses(batchMajor).mean(), 1e-5);

        INDArray timeMajor = logits.permute(1, 0, 2).reshape(3 * k, 96);
        double loss = new PatchCrossEntropy(GRID)
                .computeScore(tokens, timeMajor, Activation.IDENTITY.getActivationFunction(), null, true);
        assertEquals(expected, loss, 1e-5);

        PatchEvaluation evaluation = new PatchEvaluation(GRID);
        evaluation.eval(tokens, logits);
        assertEquals(expected, evaluation.getValue(PatchEvaluation.Metric.CROSS_ENTROPY, patchSide), 1e-5);
    }
}
