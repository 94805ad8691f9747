package org.npp4j.losses;

import java.util.Arrays;
import java.util.Random;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.losses.impl.RowOrder;

/** The patch cross-entropy by its definition, one token at a time in double: the oracle of the tests. */
final class PlainLoop {
    final int batch;
    final int height;
    final int width;
    final int patchRows;
    final int patchColumns;
    final int vocabulary;
    final int[][] ids;
    final int[][] mask;

    /** height 1 is a sequence: its patches are 1 x p. */
    PlainLoop(int batch, int height, int width, int patchSide, int vocabulary, Random random) {
        this.batch = batch;
        this.height = height;
        this.width = width;
        this.patchRows = height == 1 ? 1 : patchSide;
        this.patchColumns = patchSide;
        this.vocabulary = vocabulary;
        ids = new int[batch][height * width];
        mask = new int[batch][height * width];
        for (int s = 0; s < batch; s++) {
            Arrays.setAll(ids[s], n -> random.nextInt(vocabulary));
            Arrays.fill(mask[s], 1);
        }
    }

    int tokens() {
        return height * width;
    }

    int positions() {
        return tokens() / patchRows / patchColumns;
    }

    int rows() {
        return batch * positions();
    }

    int position(int token) {
        int y = token / width;
        int x = token % width;
        return y / patchRows * (width / patchColumns) + x / patchColumns;
    }

    int row(int s, int token, RowOrder order) {
        return order == RowOrder.TIME_MAJOR ? position(token) * batch + s : s * positions() + position(token);
    }

    PlainLoop mask(Random random) {
        for (int[] example : mask) {
            Arrays.setAll(example, n -> random.nextInt(3) > 0 ? 1 : 0);
        }
        return this;
    }

    INDArray labels(DataType type) {
        return Nd4j.createFromArray(ids).castTo(type);
    }

    INDArray mask() {
        return Nd4j.createFromArray(mask).castTo(DataType.FLOAT);
    }

    INDArray oneHot() {
        INDArray oneHot = Nd4j.zeros(DataType.FLOAT, batch, vocabulary, tokens());
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens(); n++) {
                oneHot.putScalar(s, ids[s][n], n, 1);
            }
        }
        return oneHot;
    }

    int counted() {
        return Arrays.stream(mask).mapToInt(m -> Arrays.stream(m).sum()).sum();
    }

    double nats(INDArray z, int s, int token, RowOrder order) {
        int row = row(s, token, order);
        double max = Double.NEGATIVE_INFINITY;
        for (int v = 0; v < vocabulary; v++) {
            max = Math.max(max, z.getDouble(row, v));
        }
        double sum = 0;
        for (int v = 0; v < vocabulary; v++) {
            sum += Math.exp(z.getDouble(row, v) - max);
        }
        return max + Math.log(sum) - z.getDouble(row, ids[s][token]);
    }

    /** Mean over the counted tokens. */
    double loss(INDArray z, RowOrder order) {
        double sum = 0;
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens(); n++) {
                sum += mask[s][n] == 1 ? nats(z, s, n, order) : 0;
            }
        }
        return counted() == 0 ? 0 : sum / counted();
    }

    double[] lossOfRows(INDArray z, RowOrder order) {
        double[] sum = new double[rows()];
        int[] count = new int[rows()];
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens(); n++) {
                if (mask[s][n] == 1) {
                    sum[row(s, n, order)] += nats(z, s, n, order);
                    count[row(s, n, order)]++;
                }
            }
        }
        Arrays.setAll(sum, r -> count[r] == 0 ? 0 : sum[r] / count[r]);
        return sum;
    }

    double[] lossOfExamples(INDArray z, RowOrder order) {
        double[] mean = new double[batch];
        for (int s = 0; s < batch; s++) {
            int count = 0;
            for (int n = 0; n < tokens(); n++) {
                if (mask[s][n] == 1) {
                    mean[s] += nats(z, s, n, order);
                    count++;
                }
            }
            mean[s] = count == 0 ? 0 : mean[s] / count;
        }
        return mean;
    }

    /** Gradient of the mean, times the batch size, by which the updater divides. */
    double[][] gradient(INDArray z, RowOrder order) {
        double[][] gradient = new double[rows()][vocabulary];
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens(); n++) {
                if (mask[s][n] == 1) {
                    int row = row(s, n, order);
                    double logSumExp = nats(z, s, n, order) + z.getDouble(row, ids[s][n]);
                    for (int v = 0; v < vocabulary; v++) {
                        double target = v == ids[s][n] ? 1 : 0;
                        gradient[row][v] += (Math.exp(z.getDouble(row, v) - logSumExp) - target) * batch / counted();
                    }
                }
            }
        }
        return gradient;
    }
}
