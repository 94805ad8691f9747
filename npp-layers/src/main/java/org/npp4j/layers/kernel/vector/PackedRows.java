package org.npp4j.layers.kernel.vector;

/**
 * A few rows of activations in the order in which {@link FewRows} reads them: panel after panel of rows; in a panel pair
 * after pair of units, of each pair the two units of one row, then those of the next row.
 *
 * <p>Panels are filled up with rows of zeros.
 */
final class PackedRows {
    /** Rows whose pairs of units fill one vector. */
    private static final int VECTOR_ROWS = FewRows.LANES / 2;

    private int rows;
    private int width;
    private int panelRows;
    private float[] values = new float[0];

    /** Makes room for [rows, width], width even; the content is unspecified. */
    PackedRows reshape(int newRows, int newWidth) {
        rows = newRows;
        width = newWidth;
        panelRows = newRows <= VECTOR_ROWS ? VECTOR_ROWS : VECTOR_ROWS * FewRows.MOST_VECTORS;
        int size = panels() * panelSize();
        if (values.length < size) {
            values = new float[size];
        }
        return this;
    }

    int rows() {
        return rows;
    }

    int width() {
        return width;
    }

    /** Rows of a panel: one or two vectors of pairs. */
    int panelRows() {
        return panelRows;
    }

    int panels() {
        return (rows + panelRows - 1) / panelRows;
    }

    int panelSize() {
        return panelRows * width;
    }

    /** Where a panel's units from an even one on begin in {@link #values}. */
    int offset(int panel, int unit) {
        return panel * panelSize() + unit * panelRows;
    }

    float[] values() {
        return values;
    }

    /** Takes over rows, [rows x width] one after the other. */
    void pack(float[] from) {
        for (int panel = 0; panel < panels(); panel++) {
            for (int r = 0; r < panelRows; r++) {
                int row = panel * panelRows + r;
                int to = panel * panelSize() + 2 * r;
                if (row < rows) {
                    packRow(from, row * width, to);
                } else {
                    clearRow(to);
                }
            }
        }
    }

    private void packRow(float[] from, int start, int to) {
        int step = 2 * panelRows;
        for (int unit = 0, at = to; unit < width; unit += 2, at += step) {
            values[at] = from[start + unit];
            values[at + 1] = from[start + unit + 1];
        }
    }

    private void clearRow(int to) {
        int step = 2 * panelRows;
        for (int unit = 0, at = to; unit < width; unit += 2, at += step) {
            values[at] = 0;
            values[at + 1] = 0;
        }
    }

    /** Gives its rows, [rows x width] one after the other. */
    void unpack(float[] to) {
        int step = 2 * panelRows;
        for (int row = 0; row < rows; row++) {
            int at = row / panelRows * panelSize() + row % panelRows * 2;
            int start = row * width;
            for (int unit = 0; unit < width; unit += 2, at += step) {
                to[start + unit] = values[at];
                to[start + unit + 1] = values[at + 1];
            }
        }
    }
}
