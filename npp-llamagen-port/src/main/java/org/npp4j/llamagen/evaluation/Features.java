package org.npp4j.llamagen.evaluation;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Features of images, [N, F], in blocks of rows outside the heap. They grow batch by batch; floats stay floats, everything
 * else is kept in double.
 *
 * <p>50,000 x 2048 floats take 0.4 GB.
 */
public final class Features implements AutoCloseable {
    /** Larger values cannot be squared and summed in float. */
    static final double LARGEST = 1e15;

    private static final int BLOCK_ROWS = 2048;

    private final List<INDArray> blocks = new ArrayList<>();
    private final int width;
    private final DataType type;
    private int images;

    private Features(int width, DataType type) {
        this.width = width;
        this.type = type;
    }

    /**
     * Features of no image yet.
     *
     * @param width F, at least 1
     * @param type of what will be added; FLOAT is kept as such, all else as DOUBLE
     * @return features to be added to
     * @throws IllegalArgumentException if the width is below 1
     */
    public static Features empty(long width, DataType type) {
        if (width < 1 || width > Integer.MAX_VALUE / BLOCK_ROWS) {
            throw new IllegalArgumentException(
                    "An image needs at least 1 feature, at most " + Integer.MAX_VALUE / BLOCK_ROWS + ", got " + width);
        }
        return new Features((int) width, type == DataType.FLOAT ? DataType.FLOAT : DataType.DOUBLE);
    }

    /**
     * Features of these images.
     *
     * @param features [N, F]
     * @return a copy
     * @throws IllegalArgumentException if they are not of rank 2, empty, or no finite numbers
     */
    public static Features of(INDArray features) {
        Features all = empty(requireRows(features), features.dataType());
        all.add(features);
        return all;
    }

    /**
     * Adds images.
     *
     * @param features [n, F], copied
     * @throws IllegalArgumentException if they have another width, or hold a value that is not a number, infinite, or
     *     beyond 1e15
     */
    public void add(INDArray features) {
        if (requireRows(features) != width) {
            throw new IllegalArgumentException("Features of " + width + " numbers an image were there already, but "
                    + features.size(1) + " an image are to be added");
        }
        requireFinite(features);
        int count = (int) features.size(0);
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            for (int from = 0; from < count; ) {
                int row = images % BLOCK_ROWS;
                if (row == 0) {
                    blocks.add(Nd4j.createUninitialized(type, BLOCK_ROWS, width));
                }
                int rows = Math.min(BLOCK_ROWS - row, count - from);
                // [rows, F]
                blocks.get(blocks.size() - 1)
                        .get(NDArrayIndex.interval(row, row + rows), NDArrayIndex.all())
                        .assign(features.get(NDArrayIndex.interval(from, from + rows), NDArrayIndex.all()));
                from += rows;
                images += rows;
            }
        }
    }

    private static long requireRows(INDArray features) {
        if (features.rank() != 2 || features.isEmpty()) {
            throw new IllegalArgumentException(
                    "Features must have the shape [images, features] with at least one of each," + " got "
                            + Arrays.toString(features.shape()));
        }
        return features.size(1);
    }

    private void requireFinite(INDArray features) {
        // NaN can pass the comparisons, but not the sum
        if (features.maxNumber().doubleValue() <= LARGEST
                && features.minNumber().doubleValue() >= -LARGEST
                && Double.isFinite(features.sumNumber().doubleValue())) {
            return;
        }
        double[] values = features.castTo(DataType.DOUBLE)
                .dup('c')
                .reshape(features.length())
                .toDoubleVector();
        for (int i = 0; i < values.length; i++) {
            if (!(Math.abs(values[i]) <= LARGEST)) {
                throw new IllegalArgumentException("Feature " + i % width + " of image " + (images + i / width) + " is "
                        + (Double.isNaN(values[i]) ? "not a number (NaN)" : values[i])
                        + "; features must be numbers within +-1e15. Look at the network that made them");
            }
        }
    }

    /** {@return N, the images so far} */
    public int images() {
        return images;
    }

    /** {@return F, the features of an image} */
    public int width() {
        return width;
    }

    /** {@return how many blocks of rows there are} */
    int blocks() {
        return blocks.size();
    }

    /** {@return the index of a block's first image} */
    int start(int block) {
        return block * BLOCK_ROWS;
    }

    /** {@return the rows of a block, [n, F], a view} */
    INDArray block(int block) {
        int rows = Math.min(BLOCK_ROWS, images - start(block));
        return blocks.get(block).get(NDArrayIndex.interval(0, rows), NDArrayIndex.all());
    }

    /** {@return the rows of a block one after the other} */
    Rows rows(int block) {
        INDArray all = blocks.get(block);
        int length = Math.min(BLOCK_ROWS, images - start(block)) * width;
        Nd4j.getAffinityManager().ensureLocation(all, Location.HOST);
        if (type == DataType.FLOAT) {
            float[] values = new float[length];
            all.data().asNioFloat().get(values);
            return new Rows(values, null, width);
        }
        double[] values = new double[length];
        all.data().asNioDouble().get(values);
        return new Rows(null, values, width);
    }

    /** A block of rows in the heap: either floats or doubles. */
    record Rows(float[] floats, double[] doubles, int width) {
        /** The squared distance of two rows: sum_f (x_f - y_f)^2, in double. */
        double squaredDistance(int row, Rows other, int otherRow) {
            int x = row * width;
            int y = otherRow * width;
            double sum = 0;
            if (floats != null && other.floats != null) {
                for (int f = 0; f < width; f++) {
                    double difference = (double) floats[x + f] - other.floats[y + f];
                    sum += difference * difference;
                }
            } else {
                for (int f = 0; f < width; f++) {
                    double difference = value(x + f) - other.value(y + f);
                    sum += difference * difference;
                }
            }
            return sum;
        }

        private double value(int at) {
            return floats == null ? doubles[at] : floats[at];
        }
    }

    /** Gives the memory back. */
    @Override
    public void close() {
        blocks.forEach(INDArray::close);
        blocks.clear();
        images = 0;
    }
}
