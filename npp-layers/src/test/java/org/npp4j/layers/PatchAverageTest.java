package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.shade.jackson.databind.ObjectMapper;

/** {@link PatchAverage} alone, against plain loops. */
class PatchAverageTest {
    private static final LayerWorkspaceMgr NO_WORKSPACES = LayerWorkspaceMgr.noWorkspaces();

    /** How an array with given values may lie in memory. */
    enum Layout {
        C,
        F,
        STRIDED,
        PERMUTED;

        INDArray of(double[][][] values, DataType type) {
            INDArray c = Nd4j.createFromArray(values).castTo(type);
            switch (this) {
                case F:
                    return c.dup('f');
                case STRIDED:
                    long[] shape = c.shape();
                    INDArray wide = Nd4j.valueArrayOf(new long[] {shape[0], shape[1] + 3, 2 * shape[2]}, 99.0, type);
                    INDArray view = wide.get(
                            NDArrayIndex.all(),
                            NDArrayIndex.interval(1, shape[1] + 1),
                            NDArrayIndex.interval(0, 2, 2 * shape[2]));
                    view.assign(c);
                    return view;
                case PERMUTED:
                    return c.permute(0, 2, 1).dup('c').permute(0, 2, 1);
                default:
                    return c;
            }
        }
    }

    /** A random grid, a p that divides it, and values. */
    private static final class Case {
        final TokenGrid grid;
        final int p;
        final int batch;
        final int width;
        final int patches;
        final int[] patchOfToken;
        final double[][][] tokens;
        final double[][][] patchGradient;

        Case(long seed) {
            Random random = new Random(seed);
            p = 1 + random.nextInt(4);
            int rows = random.nextInt(3) == 0 ? 1 : p * (1 + random.nextInt(3));
            grid = TokenGrid.of(rows, p * (1 + random.nextInt(3)));
            batch = 1 + random.nextInt(3);
            width = 1 + random.nextInt(5);
            patchOfToken = grid.patchOfToken(p);
            patches = grid.ofPatches(p).tokens();
            tokens = values(random, batch, grid.tokens(), width);
            patchGradient = values(random, batch, patches, width);
        }

        double[][][] averages() {
            double[][][] means = new double[batch][patches][width];
            for (int b = 0; b < batch; b++) {
                for (int n = 0; n < grid.tokens(); n++) {
                    for (int d = 0; d < width; d++) {
                        means[b][patchOfToken[n]][d] += tokens[b][n][d] / grid.tokensPerPatch(p);
                    }
                }
            }
            return means;
        }

        double[][][] tokenGradient() {
            double[][][] gradient = new double[batch][grid.tokens()][width];
            for (int b = 0; b < batch; b++) {
                for (int n = 0; n < grid.tokens(); n++) {
                    for (int d = 0; d < width; d++) {
                        gradient[b][n][d] = patchGradient[b][patchOfToken[n]][d] / grid.tokensPerPatch(p);
                    }
                }
            }
            return gradient;
        }
    }

    private static double[][][] values(Random random, int a, int b, int c) {
        double[][][] values = new double[a][b][c];
        for (double[][] matrix : values) {
            for (double[] row : matrix) {
                for (int i = 0; i < c; i++) {
                    row[i] = random.nextGaussian();
                }
            }
        }
        return values;
    }

    private static double[][][] swapped(double[][][] nwc) {
        double[][][] ncw = new double[nwc.length][nwc[0][0].length][nwc[0].length];
        for (int b = 0; b < nwc.length; b++) {
            for (int n = 0; n < nwc[0].length; n++) {
                for (int d = 0; d < nwc[0][0].length; d++) {
                    ncw[b][d][n] = nwc[b][n][d];
                }
            }
        }
        return ncw;
    }

    private static double[][][] inFormat(double[][][] nwc, RNNFormat format) {
        return format == RNNFormat.NWC ? nwc : swapped(nwc);
    }

    private static void assertClose(double[][][] expected, INDArray actual, DataType type) {
        INDArray want = Nd4j.createFromArray(expected);
        assertEquals(type, actual.dataType());
        assertTrue(
                want.equalShapes(actual),
                () -> "expected " + want.shapeInfoToString() + ", got " + actual.shapeInfoToString());
        double worst = want.sub(actual.castTo(DataType.DOUBLE)).amaxNumber().doubleValue();
        assertTrue(worst <= (type == DataType.DOUBLE ? 1e-14 : 1e-6), "largest difference " + worst);
    }

    @RepeatedTest(60)
    void forwardMatchesLoops(RepetitionInfo repetition) {
        Case c = new Case(repetition.getCurrentRepetition());
        for (RNNFormat format : RNNFormat.values()) {
            for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
                for (Layout layout : Layout.values()) {
                    INDArray tokens = layout.of(inFormat(c.tokens, format), type);
                    INDArray before = tokens.dup();
                    long[] shape = tokens.shape().clone();
                    INDArray patches = new PatchAverage(c.grid, c.p, format).preProcess(tokens, c.batch, NO_WORKSPACES);
                    assertClose(inFormat(c.averages(), format), patches, type);
                    // the input is left as it was, its shape included
                    assertEquals(before, tokens);
                    assertArrayEquals(shape, tokens.shape());
                }
            }
        }
    }

    @RepeatedTest(60)
    void backwardMatchesLoops(RepetitionInfo repetition) {
        Case c = new Case(repetition.getCurrentRepetition());
        for (RNNFormat format : RNNFormat.values()) {
            for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
                for (Layout layout : Layout.values()) {
                    INDArray epsilon = layout.of(inFormat(c.patchGradient, format), type);
                    INDArray before = epsilon.dup();
                    long[] shape = epsilon.shape().clone();
                    INDArray gradient = new PatchAverage(c.grid, c.p, format).backprop(epsilon, c.batch, NO_WORKSPACES);
                    assertClose(inFormat(c.tokenGradient(), format), gradient, type);
                    assertEquals(before, epsilon);
                    assertArrayEquals(shape, epsilon.shape());
                }
            }
        }
    }

    @RepeatedTest(20)
    void backwardIsTheTransposeOfForward(RepetitionInfo repetition) {
        Case c = new Case(1000 + repetition.getCurrentRepetition());
        PatchAverage average = new PatchAverage(c.grid, c.p, RNNFormat.NWC);
        INDArray x = Nd4j.createFromArray(c.tokens);
        INDArray e = Nd4j.createFromArray(c.patchGradient);
        double forward =
                average.preProcess(x, c.batch, NO_WORKSPACES).mul(e).sumNumber().doubleValue();
        double backward =
                average.backprop(e, c.batch, NO_WORKSPACES).mul(x).sumNumber().doubleValue();
        assertEquals(forward, backward, 1e-12);
    }

    @Test
    void everyPatchSideOfOneGrid() {
        TokenGrid grid = TokenGrid.of(12, 12);
        PatchAverage average = new PatchAverage(grid, 1, RNNFormat.NWC);
        INDArray tokens = Nd4j.rand(DataType.DOUBLE, 2, 144, 3);
        for (int p : grid.patchSides()) {
            average.setPatchSide(p);
            INDArray patches = average.preProcess(tokens, 2, NO_WORKSPACES);
            int[] patchOfToken = grid.patchOfToken(p);
            INDArray expected = Nd4j.zeros(DataType.DOUBLE, 2, 144 / p / p, 3);
            for (int n = 0; n < 144; n++) {
                expected.get(NDArrayIndex.all(), NDArrayIndex.point(patchOfToken[n]), NDArrayIndex.all())
                        .addi(tokens.get(NDArrayIndex.all(), NDArrayIndex.point(n), NDArrayIndex.all()));
            }
            expected.divi(p * p);
            assertTrue(expected.equalsWithEps(patches, 1e-12), "p = " + p);
        }
    }

    @Test
    void patchSideOnePassesThrough() {
        PatchAverage average = new PatchAverage(TokenGrid.of(2, 3), 1, RNNFormat.NWC);
        INDArray tokens = Nd4j.rand(DataType.FLOAT, 2, 6, 4);
        assertSame(tokens, average.preProcess(tokens, 2, NO_WORKSPACES));
        assertSame(tokens, average.backprop(tokens, 2, NO_WORKSPACES));
    }

    @Test
    void noGradientStaysNoGradient() {
        assertNull(new PatchAverage(TokenGrid.of(2, 2), 2, RNNFormat.NWC).backprop(null, 2, NO_WORKSPACES));
    }

    /** The backward pass belongs to the forward pass before it, whatever p has become since. */
    @Test
    void backwardAfterAChangeOfPatchSide() {
        TokenGrid grid = TokenGrid.of(4, 4);
        for (int forwardSide : grid.patchSides()) {
            for (int laterSide : grid.patchSides()) {
                PatchAverage average = new PatchAverage(grid, forwardSide, RNNFormat.NWC);
                INDArray epsilon = Nd4j.rand(
                        DataType.DOUBLE, 2, grid.ofPatches(forwardSide).tokens(), 3);
                INDArray expected = average.backprop(epsilon, 2, NO_WORKSPACES);
                average.setPatchSide(laterSide);
                assertEquals(expected, average.backprop(epsilon, 2, NO_WORKSPACES));
            }
        }
    }

    @RepeatedTest(20)
    void aPatchCountsIfAnyTokenDoes(RepetitionInfo repetition) {
        Case c = new Case(repetition.getCurrentRepetition());
        Random random = new Random(repetition.getCurrentRepetition());
        double[][] mask = new double[c.batch][c.grid.tokens()];
        double[][] expected = new double[c.batch][c.patches];
        for (int b = 0; b < c.batch; b++) {
            for (int n = 0; n < mask[b].length; n++) {
                mask[b][n] = random.nextInt(4) == 0 ? 1 : 0;
                expected[b][c.patchOfToken[n]] = Math.max(expected[b][c.patchOfToken[n]], mask[b][n]);
            }
        }
        PatchAverage average = new PatchAverage(c.grid, c.p, RNNFormat.NWC);
        for (char order : new char[] {'c', 'f'}) {
            Pair<INDArray, MaskState> patches = average.feedForwardMaskArray(
                    Nd4j.createFromArray(mask).castTo(DataType.FLOAT).dup(order), MaskState.Active, c.batch);
            assertEquals(Nd4j.createFromArray(expected).castTo(DataType.FLOAT), patches.getFirst());
            assertEquals(MaskState.Active, patches.getSecond());
        }
        assertNull(average.feedForwardMaskArray(null, MaskState.Passthrough, c.batch)
                .getFirst());
    }

    @ParameterizedTest
    @EnumSource(RNNFormat.class)
    void outputTypeHasNoLength(RNNFormat format) {
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2);
        assertNull(average.getFormat());
        InputType out = average.getOutputType(InputType.recurrent(8, 16, format));
        assertEquals(InputType.recurrent(8, -1, format), out);
        assertEquals(format, average.getFormat());
        // and so it does at p = 1, so that a later stage may have another length
        average.setPatchSide(1);
        assertEquals(out, average.getOutputType(InputType.recurrent(8, 16, format)));
        assertEquals(out, average.getOutputType(InputType.recurrent(8, -1, format)));
        assertEquals(format, average.clone().getFormat());
    }

    @Test
    void withoutInputTypesTheFormatIsNcw() {
        INDArray tokens = Nd4j.rand(DataType.FLOAT, 2, 3, 16);
        INDArray patches = new PatchAverage(TokenGrid.of(4, 4), 2).preProcess(tokens, 2, NO_WORKSPACES);
        assertEquals(
                new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NCW).preProcess(tokens, 2, NO_WORKSPACES), patches);
    }

    @Test
    void refusesInputTypesThatDoNotFit() {
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2);
        assertEquals(
                "PatchAverage is set up for a 4 x 4 token grid (height x width), but the layer before it gives 15"
                        + " positions. Make the grid's height x width equal to the sequence length; behind an"
                        + " EmbeddingSequenceLayer set inputLength(16)",
                Refusal.ofArgument(() -> average.getOutputType(InputType.recurrent(8, 15, RNNFormat.NWC))));
        String message = Refusal.ofArgument(() -> average.getOutputType(InputType.feedForward(16)));
        assertTrue(
                message.startsWith(
                        "PatchAverage needs a sequence of embeddings (InputType.recurrent), got InputTypeFeed"),
                message);
        assertTrue(message.endsWith("Put it behind an embedding or recurrent layer"), message);
    }

    @Test
    void refusesAnInputTypeInTheOtherFormat() {
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NWC);
        assertEquals(
                "PatchAverage is set up for NWC, but the layer before it gives NCW. Leave the format out or make them"
                        + " equal",
                Refusal.ofArgument(() -> average.getOutputType(InputType.recurrent(16, 16, RNNFormat.NCW))));
    }

    @Test
    void refusesInputsThatDoNotFit() {
        TokenGrid grid = TokenGrid.of(2, 2);
        assertEquals(
                "PatchAverage expects the embeddings of a 2 x 2 token grid (height x width) as [batch, 4, width], got"
                        + " [3, 5, 8]. Check the grid and the data format (NWC or NCW) of the layer before it",
                Refusal.ofArgument(() -> new PatchAverage(grid, 2, RNNFormat.NWC)
                        .preProcess(Nd4j.create(DataType.FLOAT, 3, 5, 8), 3, NO_WORKSPACES)));
        assertEquals(
                "PatchAverage expects the embeddings of a 2 x 2 token grid (height x width) as [batch, width, 4], got"
                        + " [3, 4, 8]. Check the grid and the data format (NWC or NCW) of the layer before it",
                Refusal.ofArgument(() -> new PatchAverage(grid, 2, RNNFormat.NCW)
                        .preProcess(Nd4j.create(DataType.FLOAT, 3, 4, 8), 3, NO_WORKSPACES)));
        // at p = 1 too, so that a wrong grid does not wait for a later stage
        String message = Refusal.ofArgument(() -> new PatchAverage(grid, 1, RNNFormat.NWC)
                .preProcess(Nd4j.create(DataType.FLOAT, 3, 4), 3, NO_WORKSPACES));
        assertTrue(message.contains("got [3, 4]."), message);
    }

    @Test
    void refusesGradientsOfNoPatchSide() {
        assertEquals(
                "No patch side makes 3 patches of the 2 x 2 token grid (height x width); possible numbers of patches:"
                        + " [4, 1]",
                Refusal.ofArgument(() -> new PatchAverage(TokenGrid.of(2, 2), 2, RNNFormat.NWC)
                        .backprop(Nd4j.create(DataType.FLOAT, 1, 3, 8), 1, NO_WORKSPACES)));
    }

    @Test
    void refusesMasksThatDoNotFit() {
        PatchAverage average = new PatchAverage(TokenGrid.of(2, 2), 2, RNNFormat.NWC);
        assertEquals(
                "PatchAverage expects one mask value for each token: [batch, 4], got [3, 1]",
                Refusal.ofArgument(() -> average.feedForwardMaskArray(Nd4j.ones(3, 1), MaskState.Active, 3)));
    }

    @Test
    void refusesPatchSidesThatDoNotDivide() {
        String message = "Patch side 3 does not divide the 4 x 4 token grid (height x width); sides that do: [1, 2, 4]."
                + " Choose one of them or another grid";
        assertEquals(message, Refusal.ofArgument(() -> new PatchAverage(TokenGrid.of(4, 4), 3)));
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2);
        assertEquals(message, Refusal.ofArgument(() -> average.setPatchSide(3)));
        assertEquals(2, average.getPatchSide());
        assertEquals(
                "PatchAverage needs a token grid: TokenGrid.of(height, width)",
                assertThrows(NullPointerException.class, () -> new PatchAverage(null, 1))
                        .getMessage());
    }

    @Test
    void jsonKeepsEverything() throws Exception {
        ObjectMapper mapper = NeuralNetConfiguration.mapper();
        for (RNNFormat format : new RNNFormat[] {RNNFormat.NWC, RNNFormat.NCW, null}) {
            PatchAverage average = new PatchAverage(TokenGrid.of(4, 6), 2, format);
            average.setPatchSide(1);
            average.setPatchSide(2);
            InputPreProcessor read = mapper.readValue(mapper.writeValueAsString(average), InputPreProcessor.class);
            assertEquals(average, read);
            assertEquals(2, ((PatchAverage) read).getPatchSide());
            assertEquals(format, ((PatchAverage) read).getFormat());
        }
    }

    @Test
    void patchSideIsInEqualsButNotInHashCode() {
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NWC);
        int hash = average.hashCode();
        assertEquals(new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NWC), average);
        average.setPatchSide(4);
        assertEquals(hash, average.hashCode());
        assertNotEquals(new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NWC), average);
        assertEquals(new PatchAverage(TokenGrid.of(4, 4), 4, RNNFormat.NWC), average);
        assertNotEquals(new PatchAverage(TokenGrid.of(4, 4), 4, RNNFormat.NCW), average);
        assertNotEquals(new PatchAverage(TokenGrid.of(4, 8), 4, RNNFormat.NWC), average);
        assertNotEquals(null, average);
        assertEquals("PatchAverage(patchSide=4, 4 x 4 token grid (height x width), format=NWC)", average.toString());
    }

    @Test
    void aCloneHasItsOwnPatchSide() {
        PatchAverage average = new PatchAverage(TokenGrid.of(4, 4), 2, RNNFormat.NWC);
        PatchAverage clone = average.clone();
        assertNotSame(average, clone);
        assertEquals(average, clone);
        average.setPatchSide(4);
        assertEquals(2, clone.getPatchSide());
        clone.setPatchSide(1);
        assertEquals(4, average.getPatchSide());
    }
}
