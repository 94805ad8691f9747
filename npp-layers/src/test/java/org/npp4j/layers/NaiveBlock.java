package org.npp4j.layers;

import org.deeplearning4j.nn.api.Layer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/** The transformer block in plain loops and double precision: the oracle of the fast one. */
final class NaiveBlock {
    private final TransformerBlock block;
    private final Layer layer;
    private final int width;
    private final int headWidth;
    private double[][] seen;

    /** Reads its sizes and parameters from a run-time half. */
    NaiveBlock(Layer layer) {
        this.layer = layer;
        block = (TransformerBlock) layer.conf().getLayer();
        width = (int) block.getNIn();
        headWidth = width / block.getHeads();
    }

    /** The condition tokens that may be seen, [B, C] of 0 and 1. */
    NaiveBlock seeing(double[][] condition) {
        seen = condition;
        return this;
    }

    /** [B, T, D] -> [B, T, D]. */
    double[][][] forward(double[][][] x) {
        double[][][] out = new double[x.length][][];
        for (int b = 0; b < x.length; b++) {
            out[b] = example(x[b], seen == null ? null : seen[b]);
        }
        return out;
    }

    private double[][] example(double[][] x, double[] condition) {
        double[][] attention = product(
                attend(product(norm(x, TransformerBlock.ATTENTION_GAIN), TransformerBlock.QKV_WEIGHT), condition),
                TransformerBlock.OUT_WEIGHT);
        double[][] h = sum(x, attention);
        double[][] n = norm(h, TransformerBlock.FEED_FORWARD_GAIN);
        double[][] gate = product(n, TransformerBlock.GATE_WEIGHT);
        double[][] up = product(n, TransformerBlock.UP_WEIGHT);
        for (int t = 0; t < gate.length; t++) {
            for (int f = 0; f < gate[t].length; f++) {
                gate[t][f] = gate[t][f] / (1 + Math.exp(-gate[t][f])) * up[t][f];
            }
        }
        return sum(h, product(gate, TransformerBlock.DOWN_WEIGHT));
    }

    private double[][] norm(double[][] x, String key) {
        INDArray gain = layer.getParam(key);
        double[][] y = new double[x.length][width];
        for (int t = 0; t < x.length; t++) {
            double squares = 0;
            for (double value : x[t]) {
                squares += value * value;
            }
            double rms = Math.sqrt(squares / width + block.getEpsilon());
            for (int d = 0; d < width; d++) {
                y[t][d] = x[t][d] / rms * gain.getDouble(d);
            }
        }
        return y;
    }

    private double[][] product(double[][] x, String key) {
        double[][] w = layer.getParam(key).castTo(DataType.DOUBLE).toDoubleMatrix();
        double[][] y = new double[x.length][w[0].length];
        for (int t = 0; t < x.length; t++) {
            for (int o = 0; o < w[0].length; o++) {
                for (int i = 0; i < w.length; i++) {
                    y[t][o] += x[t][i] * w[i][o];
                }
            }
        }
        return y;
    }

    private static double[][] sum(double[][] a, double[][] b) {
        double[][] c = new double[a.length][a[0].length];
        for (int t = 0; t < a.length; t++) {
            for (int d = 0; d < a[t].length; d++) {
                c[t][d] = a[t][d] + b[t][d];
            }
        }
        return c;
    }

    /** Whether t sees s, which is not behind it. */
    private static boolean sees(int t, int s, double[] condition) {
        return t == s || condition == null || s >= condition.length || condition[s] == 1;
    }

    /** qkv is [T, (H + 2 G) E]. */
    private double[][] attend(double[][] qkv, double[] condition) {
        int positions = qkv.length;
        int heads = block.getHeads();
        int groups = block.getKeyValueHeads();
        double[][] out = new double[positions][width];
        for (int head = 0; head < heads; head++) {
            int group = head / (heads / groups);
            int keys = (heads + group) * headWidth;
            int values = (heads + groups + group) * headWidth;
            for (int t = 0; t < positions; t++) {
                double[] query = turned(qkv[t], head * headWidth, t, positions);
                double[] weights = new double[t + 1];
                double total = 0;
                for (int s = 0; s <= t; s++) {
                    double[] key = turned(qkv[s], keys, s, positions);
                    double score = 0;
                    for (int e = 0; e < headWidth; e++) {
                        score += query[e] * key[e];
                    }
                    weights[s] = sees(t, s, condition) ? Math.exp(score / Math.sqrt(headWidth)) : 0;
                    total += weights[s];
                }
                for (int s = 0; s <= t; s++) {
                    for (int e = 0; e < headWidth; e++) {
                        out[t][head * headWidth + e] += weights[s] / total * qkv[s][values + e];
                    }
                }
            }
        }
        return out;
    }

    /** One head's query or key at a position, turned by row and column; zero for condition tokens. */
    private double[] turned(double[] row, int from, int position, int positions) {
        double[] y = new double[headWidth];
        int token = position - block.getConditionTokens();
        if (token < 0) {
            return y;
        }
        int patches = positions - block.getConditionTokens() + 1;
        int across = 0;
        for (int p : block.getGrid().patchSides()) {
            TokenGrid ofPatches = block.getGrid().ofPatches(p);
            if (ofPatches.tokens() == patches) {
                across = ofPatches.getWidth();
            }
        }
        int half = headWidth / 2;
        for (int pair = 0; pair < half; pair++) {
            int place = pair < half / 2 ? token / across : token % across;
            double angle = place / Math.pow(block.getRotaryBase(), 2.0 * (pair % (half / 2)) / half);
            double a = row[from + 2 * pair];
            double b = row[from + 2 * pair + 1];
            y[2 * pair] = a * Math.cos(angle) - b * Math.sin(angle);
            y[2 * pair + 1] = b * Math.cos(angle) + a * Math.sin(angle);
        }
        return y;
    }
}
