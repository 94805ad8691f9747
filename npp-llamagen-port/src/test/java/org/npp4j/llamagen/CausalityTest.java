package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.TokenGrid;

/** What the logits of a position depend on: the class and the patches before it, nothing else. */
class CausalityTest {
    private static final TokenGrid GRID = TokenGrid.of(4, 4);
    private static final int EXAMPLES = 3;

    @ParameterizedTest
    @CsvSource({"1, false", "2, false", "4, false", "1, true", "2, true", "4, true"})
    void noPositionSeesALaterToken(int patchSide, boolean training) {
        GptSpec spec = SmallGpts.spec(GRID).build();
        ComputationGraph network = network(spec, patchSide, 0.1);
        int[][] images = SmallGpts.images(spec, EXAMPLES, 1);
        int[] classes = {0, 4, 2};
        INDArray logits = logits(network, images, classes, training);
        int[] patchOfToken = GRID.patchOfToken(patchSide);
        int patches = GRID.tokens() / GRID.tokensPerPatch(patchSide);
        assertEquals(patches, logits.size(1));
        for (int token = 0; token < GRID.tokens(); token++) {
            int before = images[1][token];
            images[1][token] = (before + 1) % spec.vocabulary();
            INDArray changed = logits(network, images, classes, training);
            images[1][token] = before;
            for (int example = 0; example < EXAMPLES; example++) {
                for (int position = 0; position < patches; position++) {
                    double difference = difference(logits, changed, example, position);
                    String where = "token " + token + ", example " + example + ", position " + position;
                    // position i predicts patch i and reads the patches before it
                    if (example == 1 && position == patchOfToken[token] + 1) {
                        assertTrue(difference > 1e-6, where + ": the position behind the patch must see it");
                    } else if (example != 1 || position <= patchOfToken[token]) {
                        assertEquals(0, difference, where);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, false", "2, false", "4, false", "1, true", "2, true", "4, true"})
    void theClassReachesEveryPosition(int patchSide, boolean training) {
        GptSpec spec = SmallGpts.spec(GRID).build();
        // a dropped path or class would rightly keep it from reaching them
        ComputationGraph network = network(spec, patchSide, 0);
        int[][] images = SmallGpts.images(spec, EXAMPLES, 1);
        INDArray logits = logits(network, images, new int[] {0, 4, 2}, training);
        INDArray changed = logits(network, images, new int[] {0, 1, 2}, training);
        for (int position = 0; position < logits.size(1); position++) {
            assertEquals(0, difference(logits, changed, 0, position));
            assertTrue(difference(logits, changed, 1, position) > 1e-6, "position " + position);
            assertEquals(0, difference(logits, changed, 2, position));
        }
    }

    private static ComputationGraph network(GptSpec spec, int patchSide, double pathAndClassDropout) {
        return SmallGpts.withLargeParameters(
                LlamaGen.of(spec)
                        .patchSide(patchSide)
                        .classDropout(pathAndClassDropout)
                        .pathDropout(pathAndClassDropout)
                        .tokenDropout(0.1)
                        .residualDropout(0.1)
                        .feedForwardDropout(0.1)
                        .dataType(DataType.DOUBLE)
                        .init(),
                3);
    }

    private static INDArray logits(ComputationGraph network, int[][] images, int[] classes, boolean training) {
        Nd4j.getRandom().setSeed(21);
        return network.output(training, SmallGpts.data(images, classes).getFeatures())[0];
    }

    private static double difference(INDArray a, INDArray b, int example, int position) {
        return SmallGpts.difference(at(a, example, position), at(b, example, position));
    }

    private static INDArray at(INDArray logits, int example, int position) {
        return logits.get(NDArrayIndex.point(example), NDArrayIndex.point(position), NDArrayIndex.all());
    }
}
