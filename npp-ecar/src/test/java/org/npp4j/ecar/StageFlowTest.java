package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.files.NpzFile;

/** The flow against golden files, plain loops and what its noise must be. */
class StageFlowTest {
    private static INDArray normal(Random random, int... shape) {
        double[] values = new double[shape[0] * shape[1] * shape[2] * shape[3]];
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextGaussian();
        }
        return Nd4j.createFromArray(values).reshape('c', shape);
    }

    @ParameterizedTest
    @ValueSource(strings = {"ecar-s2", "ecar-s3"})
    void chainIsThatOfPyTorch(String name) throws IOException {
        int stages = Golden.config(name).stages();
        try (NpzFile golden = Golden.arrays(name)) {
            List<StageFlow.Ends> chain =
                    new StageFlow(stages).chain(golden.array("x"), Golden.perStage(golden, "noise", stages));
            for (int s = 0; s < stages; s++) {
                assertTrue(Golden.largestDifference(
                                golden.array("start" + s), chain.get(s).start())
                        < 2e-6);
                assertTrue(Golden.largestDifference(
                                golden.array("end" + s), chain.get(s).end())
                        < 2e-6);
            }
        }
    }

    @Test
    void poolsAndRaises() {
        Random random = new Random(1);
        INDArray map = normal(random, 2, 3, 4, 6);
        INDArray pooled = StageFlow.pool(map);
        INDArray raised = StageFlow.up(map);
        for (int b = 0; b < 2; b++) {
            for (int c = 0; c < 3; c++) {
                for (int y = 0; y < 8; y++) {
                    for (int x = 0; x < 12; x++) {
                        assertEquals(map.getDouble(b, c, y / 2, x / 2), raised.getDouble(b, c, y, x));
                    }
                }
                for (int y = 0; y < 2; y++) {
                    for (int x = 0; x < 3; x++) {
                        double sum = map.getDouble(b, c, 2 * y, 2 * x)
                                + map.getDouble(b, c, 2 * y + 1, 2 * x)
                                + map.getDouble(b, c, 2 * y, 2 * x + 1)
                                + map.getDouble(b, c, 2 * y + 1, 2 * x + 1);
                        assertEquals(sum / 4, pooled.getDouble(b, c, y, x), 1e-12);
                    }
                }
            }
        }
        // of any order and view
        INDArray view = map.dup('f');
        assertEquals(pooled, StageFlow.pool(view));
        assertEquals(raised, StageFlow.up(view));
    }

    @Test
    void tokensAreInRasterOrder() {
        INDArray map = normal(new Random(2), 2, 3, 4, 4);
        INDArray tokens = StageFlow.tokens(map);
        for (int t = 0; t < 16; t++) {
            assertEquals(map.getDouble(1, 2, t / 4, t % 4), tokens.getDouble(1, t, 2));
        }
        assertEquals(map, StageFlow.map(tokens, 4));
    }

    /**
     * From unit normal noise that does not depend from position to position, the renoising makes noise of the share that the
     * next window starts with, again unit normal and independent: by its covariance matrix, exactly.
     */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 7})
    void renoisingKeepsNoiseUnitNormalAndUncorrelated(int stages) {
        NoiseWindows windows = NoiseWindows.of(stages);
        for (int s = 1; s < stages; s++) {
            double left = windows.end(s - 1);
            double share = windows.start(s);
            // noise at the start of stage s, as a linear function of 4 coarse and 16 fine independent numbers: by
            // columns
            double[][] columns = new double[20][];
            for (int i = 0; i < 20; i++) {
                double[] one = new double[20];
                one[i] = 1;
                INDArray coarse = Nd4j.createFromArray(Arrays.copyOf(one, 4)).reshape('c', 1, 1, 2, 2);
                INDArray fine =
                        Nd4j.createFromArray(Arrays.copyOfRange(one, 4, 20)).reshape('c', 1, 1, 4, 4);
                // the state's latent part is 0, so the state is the share of noise that is left
                INDArray start = StageFlow.nextStart(coarse.mul(left), left, fine);
                columns[i] = start.divi(share).reshape(16).toDoubleVector();
            }
            for (int a = 0; a < 16; a++) {
                for (int b = 0; b < 16; b++) {
                    double covariance = 0;
                    for (double[] column : columns) {
                        covariance += column[a] * column[b];
                    }
                    assertEquals(a == b ? 1 : 0, covariance, 1e-12, "stage " + s + ", positions " + a + " and " + b);
                }
            }
        }
    }

    /** The same by sampling, through the whole chain: with latents of 0 a state is its share of noise. */
    @Test
    void noiseOfTheChainIsUnitNormal() {
        Random random = new Random(3);
        int stages = 3;
        List<INDArray> noise = new ArrayList<>();
        for (int side : new int[] {2, 4, 8}) {
            noise.add(normal(random, 3000, 1, side, side));
        }
        StageFlow flow = new StageFlow(stages);
        List<StageFlow.Ends> chain = flow.chain(Nd4j.zeros(DataType.DOUBLE, 3000, 1, 8, 8), noise);
        for (int s = 0; s < stages; s++) {
            int length = (int) chain.get(s).start().length() / 3000;
            INDArray rows = chain.get(s)
                    .start()
                    .dup('c')
                    .reshape('c', 3000, length)
                    .div(flow.windows().start(s));
            INDArray covariance = rows.transpose().mmul(rows).divi(3000);
            assertTrue(covariance
                            .sub(Nd4j.eye(length).castTo(DataType.DOUBLE))
                            .amaxNumber()
                            .doubleValue()
                    < 0.12);
            assertTrue(rows.mean(0).amaxNumber().doubleValue() < 0.08);
        }
    }

    /** Both ends of a stage are on the line between latent and noise, and the next stage starts where renoising leads. */
    @Test
    void endsHaveTheSameNoise() {
        Random random = new Random(4);
        INDArray latents = normal(random, 2, 3, 8, 8);
        List<INDArray> noise =
                List.of(normal(random, 2, 3, 2, 2), normal(random, 2, 3, 4, 4), normal(random, 2, 3, 8, 8));
        StageFlow flow = new StageFlow(3);
        List<StageFlow.Ends> chain = flow.chain(latents, noise);
        List<INDArray> maps = flow.pyramid(latents);
        for (int s = 1; s < 3; s++) {
            double a = flow.windows().start(s);
            double e = flow.windows().end(s);
            INDArray start = chain.get(s).start();
            assertEquals(
                    0,
                    Golden.largestDifference(
                            StageFlow.nextStart(
                                    chain.get(s - 1).end(), flow.windows().end(s - 1), noise.get(s)),
                            start),
                    1e-12);
            INDArray ofStart = start.sub(
                            StageFlow.up(StageFlow.pool(maps.get(s))).mul(1 - a))
                    .div(a);
            if (e > 0) {
                INDArray ofEnd = chain.get(s).end().sub(maps.get(s).mul(1 - e)).div(e);
                assertTrue(Golden.largestDifference(ofStart, ofEnd) < 1e-12);
            } else {
                assertTrue(Golden.largestDifference(maps.get(s), chain.get(s).end()) < 1e-12);
            }
        }
    }

    @Test
    void refusesOtherShapes() {
        INDArray odd = Nd4j.zeros(1, 1, 3, 4);
        assertTrue(assertThrows(IllegalArgumentException.class, () -> StageFlow.pool(odd))
                .getMessage()
                .contains("[1, 1, 3, 4]"));
        assertThrows(IllegalArgumentException.class, () -> StageFlow.up(Nd4j.zeros(2, 2)));
        assertEquals(
                "The noise must have the shapes of the stages, [[1, 1, 2, 2], [1, 1, 4, 4]], but has [[1, 1, 2, 2]]",
                assertThrows(IllegalArgumentException.class, () -> new StageFlow(2)
                                .chain(Nd4j.zeros(1, 1, 4, 4), List.of(Nd4j.zeros(1, 1, 2, 2))))
                        .getMessage());
    }
}
