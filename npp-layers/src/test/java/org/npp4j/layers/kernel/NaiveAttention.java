package org.npp4j.layers.kernel;

import org.npp4j.layers.TokenGrid;

/** Attention and its gradient in plain loops and double precision. */
final class NaiveAttention {
    private final AttentionShape shape;
    private final TokenGrid grid;
    private final int conditionTokens;
    private final double base;
    private final double[][] seen;

    /**
     * An attention.
     *
     * @param grid null for no rotary positions
     * @param seen [B, C], or null
     */
    NaiveAttention(AttentionShape shape, TokenGrid grid, int conditionTokens, double base, double[][] seen) {
        this.shape = shape;
        this.grid = grid;
        this.conditionTokens = conditionTokens;
        this.base = base;
        this.seen = seen;
    }

    /** [R, H x E] from rows of query, key and value. */
    double[][] forward(double[][] q, double[][] k, double[][] v) {
        double[][] out = new double[q.length][q[0].length];
        double[][] turnedQ = turned(q, 1);
        double[][] turnedK = turned(k, 1);
        int width = shape.headWidth();
        for (int row = 0; row < q.length; row++) {
            for (int head = 0; head < shape.heads(); head++) {
                double[] weights = weights(turnedQ, turnedK, row, head);
                for (int s = 0; s < weights.length; s++) {
                    for (int i = 0; i < width; i++) {
                        out[row][head * width + i] += weights[s] * v[first(row) + s][group(head) * width + i];
                    }
                }
            }
        }
        return out;
    }

    /** dq, dk, dv. */
    double[][][] gradient(double[][] q, double[][] k, double[][] v, double[][] dOut) {
        double[][] turnedQ = turned(q, 1);
        double[][] turnedK = turned(k, 1);
        double[][] dq = new double[q.length][q[0].length];
        double[][] dk = new double[k.length][k[0].length];
        double[][] dv = new double[v.length][v[0].length];
        int width = shape.headWidth();
        for (int row = 0; row < q.length; row++) {
            for (int head = 0; head < shape.heads(); head++) {
                double[] weights = weights(turnedQ, turnedK, row, head);
                double[] dWeights = new double[weights.length];
                double sum = 0;
                for (int s = 0; s < weights.length; s++) {
                    for (int i = 0; i < width; i++) {
                        double d = dOut[row][head * width + i];
                        dWeights[s] += d * v[first(row) + s][group(head) * width + i];
                        dv[first(row) + s][group(head) * width + i] += weights[s] * d;
                    }
                    sum += weights[s] * dWeights[s];
                }
                for (int s = 0; s < weights.length; s++) {
                    double dScore = weights[s] * (dWeights[s] - sum) / Math.sqrt(width);
                    for (int i = 0; i < width; i++) {
                        int key = group(head) * width + i;
                        dq[row][head * width + i] += dScore * turnedK[first(row) + s][key];
                        dk[first(row) + s][key] += dScore * turnedQ[row][head * width + i];
                    }
                }
            }
        }
        return new double[][][] {turned(dq, -1), turned(dk, -1), dv};
    }

    private int group(int head) {
        return head / shape.headsPerGroup();
    }

    /** The first row of a row's example. */
    private int first(int row) {
        return row - position(row);
    }

    private int position(int row) {
        return row % (int) shape.positions();
    }

    /** Of one query and head, for each key. */
    private double[] weights(double[][] turnedQ, double[][] turnedK, int row, int head) {
        int position = position(row);
        double[] example = seen == null ? new double[0] : seen[row / (int) shape.positions()];
        int width = shape.headWidth();
        double[] scores = new double[(int) shape.positions()];
        double largest = Double.NEGATIVE_INFINITY;
        for (int s = 0; s < scores.length; s++) {
            for (int i = 0; i < width; i++) {
                scores[s] += turnedQ[row][head * width + i]
                        * turnedK[first(row) + s][group(head) * width + i]
                        / Math.sqrt(width);
            }
            boolean masked =
                    s < shape.mask().from(position) || s >= shape.mask().to(position);
            if (masked || s != position && s < example.length && example[s] == 0) {
                scores[s] = Double.NEGATIVE_INFINITY;
            }
            largest = Math.max(largest, scores[s]);
        }
        double total = 0;
        for (int s = 0; s < scores.length; s++) {
            scores[s] = Math.exp(scores[s] - largest);
            total += scores[s];
        }
        for (int s = 0; s < scores.length; s++) {
            scores[s] /= total;
        }
        return scores;
    }

    /** Pairs turned by the row and column of their position (direction 1) or back (-1); condition tokens vanish. */
    private double[][] turned(double[][] rows, int direction) {
        if (grid == null) {
            return rows;
        }
        int width = shape.headWidth();
        double[][] turned = new double[rows.length][rows[0].length];
        for (int row = 0; row < rows.length; row++) {
            int token = position(row) - conditionTokens;
            for (int i = 0; token >= 0 && i < rows[0].length; i += 2) {
                int pair = i % width / 2;
                int place = pair < width / 4 ? token / grid.getWidth() : token % grid.getWidth();
                double angle = direction * place * Math.pow(base, -2.0 * (pair % (width / 4)) / (width / 2.0));
                turned[row][i] = rows[row][i] * Math.cos(angle) - rows[row][i + 1] * Math.sin(angle);
                turned[row][i + 1] = rows[row][i + 1] * Math.cos(angle) + rows[row][i] * Math.sin(angle);
            }
        }
        return turned;
    }
}
