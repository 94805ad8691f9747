package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.impl.CaptionEmbeddingImpl;

/** The text-conditional model against PyTorch. */
class LlamaGenTextGoldenTest {
    private static final GoldenGpt GOLDEN = new GoldenGpt("gpt-text");
    private static final double CAPTION_DROPOUT = 0.5;

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void logitsAndLossForEveryPatchSide(int p) {
        ComputationGraph network = network(p, DataType.FLOAT, 0);
        INDArray logits = network.output(inputs(DataType.FLOAT))[0];
        assertClose("logits", GOLDEN.array("p" + p + ".logits"), logits, 1e-4);
        gradients(network, 0, null);
        assertEquals(GOLDEN.array("p" + p + ".loss").getDouble(0), network.score(), 1e-5);
        INDArray wide = network(p, DataType.DOUBLE, 0).output(inputs(DataType.DOUBLE))[0];
        assertClose("logits in double", GOLDEN.array("p" + p + ".logits_f64"), wide, 1e-9);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void gradients(int p) {
        ComputationGraph network = network(p, DataType.FLOAT, 0);
        gradients(network, 0, null);
        assertGradients("p" + p, network);
    }

    /** One caption replaced by the unconditional one, two of them padded in front. */
    @Test
    void gradientsWithReplacedAndPaddedCaptions() {
        ComputationGraph network = network(1, DataType.FLOAT, CAPTION_DROPOUT);
        gradients(network, seedThatReplaces(false, true, false), GOLDEN.array("mask"));
        assertEquals(GOLDEN.array("changed.p1.loss").getDouble(0), network.score(), 1e-5);
        assertGradients("changed.p1", network);
    }

    @Test
    void logitsWithPaddedCaptionsOnPatches() {
        ComputationGraph network = network(2, DataType.FLOAT, 0);
        network.setLayerMaskArrays(new INDArray[] {null, GOLDEN.array("mask")}, null);
        INDArray logits = network.output(inputs(DataType.FLOAT))[0];
        assertClose("logits", GOLDEN.array("masked.p2.logits"), logits, 1e-4);
    }

    /** Without a cache: the token after a position depends on the positions before it alone. */
    @ParameterizedTest
    @CsvSource({"1, -1, false", "3, -1, false", "3, 5, false", "1, -1, true", "3, -1, true", "3, 5, true"})
    void greedyTokensWithGuidance(int scale, int interval, boolean masked) {
        ComputationGraph network = network(1, DataType.FLOAT, 0);
        INDArray captions = GOLDEN.array("captions");
        CaptionEmbeddingImpl embedding = (CaptionEmbeddingImpl) network.getLayer(LlamaGen.CAPTION_EMBEDDING);
        INDArray both = Nd4j.concat(0, captions, embedding.unconditionalCaptions(3));
        INDArray mask = Nd4j.concat(0, GOLDEN.array("mask"), GOLDEN.array("mask"));
        INDArray tokens = Nd4j.zeros(DataType.FLOAT, 6, 16);
        for (int i = 0; i < 16; i++) {
            if (masked) {
                network.setLayerMaskArrays(new INDArray[] {null, mask}, null);
            }
            INDArray logits = network.output(tokens, both)[0];
            INDArray given = at(i, 0, 3, logits);
            INDArray free = at(i, 3, 6, logits);
            boolean alone = scale == 1 || interval > -1 && i - 1 > interval;
            INDArray chosen = (alone ? given : free.add(given.sub(free).mul(scale))).argMax(1);
            for (int b = 0; b < 3; b++) {
                tokens.putScalar(b, i, chosen.getDouble(b));
                tokens.putScalar(b + 3, i, chosen.getDouble(b));
            }
        }
        INDArray expected =
                GOLDEN.array("greedy." + (masked ? "masked." : "") + "cfg" + scale + ".interval" + interval);
        assertEquals(
                expected.castTo(DataType.INT32),
                tokens.get(NDArrayIndex.interval(0, 3), NDArrayIndex.all()).castTo(DataType.INT32));
    }

    /** [to - from, V], a copy: ND4J refuses to subtract such views. */
    private static INDArray at(int position, int from, int to, INDArray logits) {
        return logits.get(NDArrayIndex.interval(from, to), NDArrayIndex.interval(position, position + 1))
                .dup('c')
                .reshape(to - from, logits.size(2));
    }

    private static ComputationGraph network(int p, DataType type, double captionDropout) {
        return GOLDEN.network(
                LlamaGen.of(GOLDEN.spec())
                        .patchSide(p)
                        .classDropout(captionDropout)
                        .learnUnconditional(true),
                type);
    }

    private static INDArray[] inputs(DataType type) {
        return new INDArray[] {
            GOLDEN.array("tokens").castTo(type), GOLDEN.array("captions").castTo(type)
        };
    }

    private static void gradients(ComputationGraph network, long seed, INDArray captionMask) {
        network.setInputs(inputs(network.getConfiguration().getDataType()));
        network.setLabels(GOLDEN.array("tokens"));
        if (captionMask != null) {
            network.setLayerMaskArrays(new INDArray[] {null, captionMask}, null);
        }
        Nd4j.getRandom().setSeed(seed);
        network.computeGradientAndScore();
    }

    private static void assertGradients(String name, ComputationGraph network) {
        GOLDEN.parameterNames().forEach((parameter, published) -> {
            INDArray expected = GOLDEN.inOurShape(parameter, GOLDEN.array(name + ".grad." + published));
            // Deeplearning4j's gradients are sums over the examples until the updater divides them
            INDArray gradient = network.gradient().getGradientFor(parameter).div(3);
            assertClose(parameter, expected, gradient.reshape(expected.shape()), 1e-4);
        });
    }

    /** A seed with which the first three numbers fall on these sides of the dropout. */
    private static long seedThatReplaces(Boolean... examples) {
        Random seeds = new Random(1);
        while (true) {
            long seed = 1 + seeds.nextInt(1 << 20);
            Nd4j.getRandom().setSeed(seed);
            double[] chance = Nd4j.rand(DataType.DOUBLE, examples.length).data().asDouble();
            if (Arrays.equals(
                    examples,
                    Arrays.stream(chance).mapToObj(c -> c < CAPTION_DROPOUT).toArray())) {
                return seed;
            }
        }
    }

    private static void assertClose(String what, INDArray expected, INDArray actual, double tolerance) {
        double difference = GoldenGpt.relativeDifference(expected, actual);
        assertTrue(difference <= tolerance, what + " differs by " + difference + " of its largest value");
    }
}
