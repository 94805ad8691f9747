package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.File;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

class RotaryTableTest {

    private static Map<String, INDArray> golden() throws Exception {
        File file = Path.of(
                        RotaryTableTest.class.getResource("/golden/rope.npz").toURI())
                .toFile();
        return Nd4j.createFromNpzFile(file);
    }

    @ParameterizedTest
    @CsvSource({"1, 64", "2, 64", "4, 64", "8, 16", "16, 64"})
    void matchesTheReferenceTable(int side, int headWidth) throws Exception {
        INDArray expected = golden().get("grid" + side + ".head" + headWidth);
        TokenGrid grid = TokenGrid.of(side, side);
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            RotaryTable table = new RotaryTable(grid, 1, headWidth, 10000, type);
            int positions = 1 + side * side;
            assertEquals(positions, table.positions());
            for (int heads : new int[] {1, 3}) {
                INDArray cosines = table.cosines(heads, 0, positions);
                INDArray sines = table.sines(heads, 0, positions);
                assertEquals(type, cosines.dataType());
                assertArrayEquals(new long[] {(long) positions * heads * headWidth}, cosines.shape());
                // [positions, heads, E / 2, 2]: every head and both units of a pair hold the pair's value
                double[] cos = cosines.dup().data().asDouble();
                double[] sin = sines.dup().data().asDouble();
                float[] want = expected.dup('c').data().asFloat();
                for (int i = 0; i < cos.length; i++) {
                    int pair = i % headWidth / 2;
                    int at = (i / (heads * headWidth) * (headWidth / 2) + pair) * 2;
                    // the reference computes its angles, up to 15, in single precision
                    assertEquals(want[at], cos[i], 1.5e-6);
                    assertEquals(want[at + 1], sin[i], 1.5e-6);
                }
            }
        }
    }

    @Test
    void rowsAndColumnsOfAGridThatIsNotSquare() {
        RotaryTable table = new RotaryTable(TokenGrid.of(2, 3), 2, 8, 100, DataType.DOUBLE);
        double[] cos = table.cosines(1, 0, 8).dup().data().asDouble();
        double[] sin = table.sines(1, 0, 8).dup().data().asDouble();
        double[] frequencies = {1, Math.pow(100, -0.5)};
        for (int t = 0; t < 8; t++) {
            for (int pair = 0; pair < 4; pair++) {
                double place = pair < 2 ? (t - 2) / 3 : (t - 2) % 3;
                double angle = place * frequencies[pair % 2];
                for (int unit = 0; unit < 2; unit++) {
                    int at = t * 8 + 2 * pair + unit;
                    assertEquals(t < 2 ? 0 : Math.cos(angle), cos[at], 1e-15);
                    assertEquals(t < 2 ? 0 : Math.sin(angle), sin[at], 1e-15);
                }
            }
        }
    }

    @Test
    void aRunIsAPartOfTheWhole() {
        RotaryTable table = new RotaryTable(TokenGrid.of(4, 4), 1, 8, 10000, DataType.DOUBLE);
        double[] whole = table.sines(2, 0, 17).dup().data().asDouble();
        double[] run = table.sines(2, 5, 9).dup().data().asDouble();
        for (int i = 0; i < run.length; i++) {
            assertEquals(whole[5 * 16 + i], run[i]);
        }
    }

    @Test
    void aQuarterTurnSwapsPairs() {
        RotaryTable table = new RotaryTable(TokenGrid.of(2, 2), 1, 4, 10000, DataType.DOUBLE);
        INDArray x = Nd4j.createFromArray(new double[][] {{1, 2, 3, 4}});
        assertEquals(Nd4j.createFromArray(new double[][] {{-2, 1, -4, 3}}), x.mmul(table.quarterTurn()));
    }

    @Test
    void refusesWhatCannotTurn() {
        TokenGrid grid = TokenGrid.of(2, 2);
        for (int width : new int[] {0, 2, 6}) {
            assertEquals(
                    "Two-dimensional rotary positions need a head width that is a multiple of 4, got " + width,
                    assertThrows(
                                    IllegalArgumentException.class,
                                    () -> new RotaryTable(grid, 1, width, 10000, DataType.FLOAT))
                            .getMessage());
        }
        for (double base : new double[] {0, -1, Double.NaN}) {
            assertEquals(
                    "The base of the rotary frequencies must be above 0, got " + base,
                    assertThrows(
                                    IllegalArgumentException.class,
                                    () -> new RotaryTable(grid, 1, 4, base, DataType.FLOAT))
                            .getMessage());
        }
    }
}
