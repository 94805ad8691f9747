package org.npp4j.llamagen.evaluation;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.nd4j.shade.protobuf.ByteString;
import org.tensorflow.framework.AttrValue;
import org.tensorflow.framework.DataType;
import org.tensorflow.framework.GraphDef;
import org.tensorflow.framework.NodeDef;
import org.tensorflow.framework.TensorProto;
import org.tensorflow.framework.TensorShapeProto;

/**
 * A small frozen graph of the same operations, names and wiring as the InceptionV3 graph of 2015, with random weights; and
 * what it computes, in plain loops.
 */
final class InceptionLikeGraph {
    static final int SIZE = 29;
    static final int FEATURES = 9;
    static final int CLASSES = 6;
    private static final float EPSILON = 0.001f;

    private final GraphDef.Builder graph = GraphDef.newBuilder();
    private final Map<String, float[]> weights = new HashMap<>();
    private final Random random = new Random(7);

    InceptionLikeGraph() {
        node("Const", "DecodeJpeg/contents");
        node("DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents");
        node("Cast", "Cast", "DecodeJpeg");
        integers("ExpandDims/dim", 0);
        node("ExpandDims", "ExpandDims", "Cast", "ExpandDims/dim");
        integers("ResizeBilinear/size", SIZE, SIZE);
        graph.addNode(base("ResizeBilinear", "ResizeBilinear", "ExpandDims", "ResizeBilinear/size")
                .putAttr("align_corners", flag(false)));
        scalar("Sub/y", 128);
        node("Sub", "Sub", "ResizeBilinear", "Sub/y");
        scalar("Mul/y", 0.0078125f);
        node("Mul", "Mul", "Sub", "Mul/y");
        convolution("conv", "Mul", 3, 3, 3, 4, 2, "VALID", false); // 14
        pool("MaxPool", "pool", "conv", 3, 2, "VALID"); // 6
        convolution("mixed/conv", "pool", 1, 1, 4, 3, 1, "SAME", true);
        pool("AvgPool", "mixed/tower/pool", "pool", 3, 1, "SAME");
        convolution("mixed/tower/conv", "mixed/tower/pool", 1, 1, 4, 2, 1, "SAME", false);
        pool("MaxPool", "mixed/tower_1/pool", "pool", 3, 1, "SAME");
        integers("mixed/join/concat_dim", 3);
        graph.addNode(base(
                        "Concat",
                        "mixed/join",
                        "mixed/join/concat_dim",
                        "mixed/conv",
                        "mixed/tower/conv",
                        "mixed/tower_1/pool")
                .putAttr("N", AttrValue.newBuilder().setI(3).build())); // 9 channels
        convolution("mixed_6/conv", "mixed/join", 1, 3, 9, FEATURES, 1, "SAME", false);
        pool("AvgPool", "pool_3", "mixed_6/conv", 6, 1, "VALID"); // 1
        integers("pool_3/_reshape/shape", 1, FEATURES);
        node("Reshape", "pool_3/_reshape", "pool_3", "pool_3/_reshape/shape");
        weight("softmax/weights", 1, FEATURES, CLASSES);
        weight("softmax/biases", 1, CLASSES);
        node("MatMul", "softmax/logits/MatMul", "pool_3/_reshape", "softmax/weights");
        node("BiasAdd", "softmax/logits", "softmax/logits/MatMul", "softmax/biases");
        node("Softmax", "softmax", "softmax/logits");
    }

    GraphDef graph() {
        return graph.build();
    }

    private static NodeDef.Builder base(String op, String name, String... inputs) {
        NodeDef.Builder node = NodeDef.newBuilder()
                .setOp(op)
                .setName(name)
                .putAttr("T", AttrValue.newBuilder().setType(DataType.DT_FLOAT).build());
        for (String input : inputs) {
            node.addInput(input);
        }
        return node;
    }

    private void node(String op, String name, String... inputs) {
        graph.addNode(base(op, name, inputs));
    }

    private static AttrValue flag(boolean value) {
        return AttrValue.newBuilder().setB(value).build();
    }

    private static AttrValue text(String value) {
        return AttrValue.newBuilder().setS(ByteString.copyFromUtf8(value)).build();
    }

    private static AttrValue list(long... values) {
        AttrValue.ListValue.Builder list = AttrValue.ListValue.newBuilder();
        for (long value : values) {
            list.addI(value);
        }
        return AttrValue.newBuilder().setList(list).build();
    }

    private void constant(String name, DataType type, ByteBuffer bytes, long... shape) {
        TensorShapeProto.Builder sides = TensorShapeProto.newBuilder();
        for (long side : shape) {
            sides.addDim(TensorShapeProto.Dim.newBuilder().setSize(side));
        }
        graph.addNode(NodeDef.newBuilder()
                .setOp("Const")
                .setName(name)
                .putAttr("dtype", AttrValue.newBuilder().setType(type).build())
                .putAttr(
                        "value",
                        AttrValue.newBuilder()
                                .setTensor(TensorProto.newBuilder()
                                        .setDtype(type)
                                        .setTensorShape(sides)
                                        .setTensorContent(ByteString.copyFrom(bytes)))
                                .build()));
    }

    private void integers(String name, int... values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(values);
        constant(name, DataType.DT_INT32, bytes, values.length == 1 ? new long[0] : new long[] {values.length});
    }

    private void scalar(String name, float value) {
        ByteBuffer bytes = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(value);
        constant(name, DataType.DT_FLOAT, bytes);
    }

    private void weight(String name, double scale, long... shape) {
        int length = 1;
        for (long side : shape) {
            length *= (int) side;
        }
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) (scale * random.nextGaussian());
        }
        if (name.endsWith("variance") || name.endsWith("gamma")) {
            for (int i = 0; i < length; i++) {
                values[i] = 0.5f + Math.abs(values[i]);
            }
        }
        weights.put(name, values);
        ByteBuffer bytes = ByteBuffer.allocate(4 * length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        constant(name, DataType.DT_FLOAT, bytes, shape);
    }

    private void convolution(
            String name, String input, int h, int w, int in, int out, int stride, String padding, boolean scaled) {
        weight(name + "/conv2d_params", 1 / Math.sqrt(h * w * in), h, w, in, out);
        graph.addNode(base("Conv2D", name + "/Conv2D", input, name + "/conv2d_params")
                .putAttr("strides", list(1, stride, stride, 1))
                .putAttr("padding", text(padding))
                .putAttr("use_cudnn_on_gpu", flag(true)));
        for (String part : new String[] {"beta", "gamma", "moving_mean", "moving_variance"}) {
            weight(name + "/batchnorm/" + part, 0.3, out);
        }
        graph.addNode(base(
                        "BatchNormWithGlobalNormalization",
                        name + "/batchnorm",
                        name + "/Conv2D",
                        name + "/batchnorm/moving_mean",
                        name + "/batchnorm/moving_variance",
                        name + "/batchnorm/beta",
                        name + "/batchnorm/gamma")
                .putAttr(
                        "variance_epsilon", AttrValue.newBuilder().setF(EPSILON).build())
                .putAttr("scale_after_normalization", flag(scaled)));
        graph.addNode(base("CheckNumerics", name + "/CheckNumerics", name + "/batchnorm")
                .putAttr("message", text("not finite")));
        node("Identity", name + "/control_dependency", name + "/batchnorm", "^" + name + "/CheckNumerics");
        node("Relu", name, name + "/control_dependency");
    }

    private void pool(String op, String name, String input, int size, int stride, String padding) {
        graph.addNode(base(op, name, input)
                .putAttr("ksize", list(1, size, size, 1))
                .putAttr("strides", list(1, stride, stride, 1))
                .putAttr("padding", text(padding)));
    }

    /** What the graph gives for one image [H][W][3]: mixed_6/conv [h][w][channels]. */
    double[][][] spatial(double[][][] image) {
        double[][][] x = resize(image);
        for (double[][] row : x) {
            for (double[] pixel : row) {
                for (int c = 0; c < pixel.length; c++) {
                    pixel[c] = (pixel[c] - 128) * 0.0078125;
                }
            }
        }
        double[][][] pool = pooled(convolved("conv", x, 3, 3, 4, 2, true, false), 3, 2, true, true);
        double[][][] a = convolved("mixed/conv", pool, 1, 1, 3, 1, false, true);
        double[][][] b = convolved("mixed/tower/conv", pooled(pool, 3, 1, false, false), 1, 1, 2, 1, false, false);
        double[][][] c = pooled(pool, 3, 1, false, true);
        double[][][] joined = new double[a.length][a[0].length][9];
        for (int i = 0; i < a.length; i++) {
            for (int j = 0; j < a[0].length; j++) {
                System.arraycopy(a[i][j], 0, joined[i][j], 0, 3);
                System.arraycopy(b[i][j], 0, joined[i][j], 3, 2);
                System.arraycopy(c[i][j], 0, joined[i][j], 5, 4);
            }
        }
        return convolved("mixed_6/conv", joined, 1, 3, FEATURES, 1, false, false);
    }

    double[] features(double[][][] spatial) {
        return pooled(spatial, 6, 1, true, false)[0][0];
    }

    double[] probabilities(double[] features) {
        float[] w = weights.get("softmax/weights");
        double[] odds = new double[CLASSES];
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            for (int f = 0; f < FEATURES; f++) {
                odds[c] += features[f] * w[f * CLASSES + c];
            }
            odds[c] = Math.exp(odds[c]);
            sum += odds[c];
        }
        for (int c = 0; c < CLASSES; c++) {
            odds[c] /= sum;
        }
        return odds;
    }

    /** TensorFlow 1: the source of row i is i * height / SIZE, without half pixels; the last row is repeated. */
    private static double[][][] resize(double[][][] image) {
        int h = image.length;
        int w = image[0].length;
        double[][][] to = new double[SIZE][SIZE][3];
        for (int i = 0; i < SIZE; i++) {
            double y = i * (double) h / SIZE;
            int y0 = (int) y;
            int y1 = Math.min(y0 + 1, h - 1);
            for (int j = 0; j < SIZE; j++) {
                double x = j * (double) w / SIZE;
                int x0 = (int) x;
                int x1 = Math.min(x0 + 1, w - 1);
                for (int c = 0; c < 3; c++) {
                    double top = image[y0][x0][c] + (image[y0][x1][c] - image[y0][x0][c]) * (x - x0);
                    double bottom = image[y1][x0][c] + (image[y1][x1][c] - image[y1][x0][c]) * (x - x0);
                    to[i][j][c] = top + (bottom - top) * (y - y0);
                }
            }
        }
        return to;
    }

    private double[][][] convolved(
            String name, double[][][] x, int kh, int kw, int out, int stride, boolean valid, boolean scaled) {
        float[] kernel = weights.get(name + "/conv2d_params");
        float[] beta = weights.get(name + "/batchnorm/beta");
        float[] gamma = weights.get(name + "/batchnorm/gamma");
        float[] mean = weights.get(name + "/batchnorm/moving_mean");
        float[] variance = weights.get(name + "/batchnorm/moving_variance");
        int in = x[0][0].length;
        int h = valid ? (x.length - kh) / stride + 1 : x.length;
        int w = valid ? (x[0].length - kw) / stride + 1 : x[0].length;
        int top = valid ? 0 : (kh - 1) / 2;
        int left = valid ? 0 : (kw - 1) / 2;
        double[][][] y = new double[h][w][out];
        for (int i = 0; i < h; i++) {
            for (int j = 0; j < w; j++) {
                for (int o = 0; o < out; o++) {
                    double sum = 0;
                    for (int a = 0; a < kh; a++) {
                        for (int b = 0; b < kw; b++) {
                            int r = i * stride + a - top;
                            int s = j * stride + b - left;
                            if (r >= 0 && r < x.length && s >= 0 && s < x[0].length) {
                                for (int c = 0; c < in; c++) {
                                    sum += x[r][s][c] * kernel[((a * kw + b) * in + c) * out + o];
                                }
                            }
                        }
                    }
                    double normal = (sum - mean[o]) / Math.sqrt(variance[o] + EPSILON);
                    y[i][j][o] = Math.max(0, normal * (scaled ? gamma[o] : 1) + beta[o]);
                }
            }
        }
        return y;
    }

    /** The average counts only what lies within the image. */
    private static double[][][] pooled(double[][][] x, int size, int stride, boolean valid, boolean max) {
        int h = valid ? (x.length - size) / stride + 1 : x.length;
        int w = valid ? (x[0].length - size) / stride + 1 : x[0].length;
        int before = valid ? 0 : (size - 1) / 2;
        double[][][] y = new double[h][w][x[0][0].length];
        for (int i = 0; i < h; i++) {
            for (int j = 0; j < w; j++) {
                for (int c = 0; c < y[i][j].length; c++) {
                    double sum = 0;
                    double most = Double.NEGATIVE_INFINITY;
                    int count = 0;
                    for (int a = 0; a < size; a++) {
                        for (int b = 0; b < size; b++) {
                            int r = i * stride + a - before;
                            int s = j * stride + b - before;
                            if (r >= 0 && r < x.length && s >= 0 && s < x[0].length) {
                                sum += x[r][s][c];
                                most = Math.max(most, x[r][s][c]);
                                count++;
                            }
                        }
                    }
                    y[i][j][c] = max ? most : sum / count;
                }
            }
        }
        return y;
    }
}
