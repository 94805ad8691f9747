package org.npp4j.layers.kernel.vector;

import jdk.incubator.vector.FloatVector;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.TransformerKernel;

/** {@link TransformerKernel#swiGlu}, {@link TransformerKernel#gelu} and their gradients over arrays that are alike. */
final class VectorActivations {
    // gelu(x) = x sigmoid(2 u), since (1 + tanh(u)) / 2 = sigmoid(2 u); 2 u = x (LINEAR + CUBIC x^2)
    private static final float LINEAR = (float) (2 * Math.sqrt(2 / Math.PI));
    private static final float CUBIC = (float) (2 * Math.sqrt(2 / Math.PI) * 0.044715);

    private VectorActivations() {}

    static void swiGlu(INDArray a, INDArray b, INDArray y) {
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] as = scratch.array(0, Pass.TILE);
                    float[] bs = scratch.array(1, Pass.TILE);
                    buffers[0].get(at, as, 0, length);
                    buffers[1].get(at, bs, 0, length);
                    Lanes.exp(as, -1, 0, scratch.array(2, Pass.TILE), 0, length, scratch.array(3, Lanes.COUNT));
                    swiGlu(as, bs, scratch.array(2, Pass.TILE), length);
                    buffers[2].put(at, bs, 0, length);
                },
                a,
                b,
                y);
    }

    /** b = a b / (1 + e), e = exp(-a). */
    private static void swiGlu(float[] a, float[] b, float[] e, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, a, i)
                    .div(FloatVector.fromArray(Lanes.FLOATS, e, i).add(1))
                    .mul(FloatVector.fromArray(Lanes.FLOATS, b, i))
                    .intoArray(b, i);
        }
    }

    static void swiGluGradient(INDArray dy, INDArray a, INDArray b, INDArray da, INDArray db) {
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] g = scratch.array(0, Pass.TILE);
                    float[] as = scratch.array(1, Pass.TILE);
                    float[] bs = scratch.array(2, Pass.TILE);
                    buffers[0].get(at, g, 0, length);
                    buffers[1].get(at, as, 0, length);
                    buffers[2].get(at, bs, 0, length);
                    float[] e = scratch.array(3, Pass.TILE);
                    Lanes.exp(as, -1, 0, e, 0, length, scratch.array(4, Lanes.COUNT));
                    swiGluGradient(g, as, bs, e, length);
                    buffers[3].put(at, as, 0, length);
                    buffers[4].put(at, bs, 0, length);
                },
                dy,
                a,
                b,
                da,
                db);
    }

    /** a = dy b silu'(a), b = dy silu(a), from e = exp(-a). */
    private static void swiGluGradient(float[] dy, float[] a, float[] b, float[] e, int length) {
        FloatVector ones = FloatVector.broadcast(Lanes.FLOATS, 1);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector g = FloatVector.fromArray(Lanes.FLOATS, dy, i);
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, a, i);
            FloatVector s = ones.div(FloatVector.fromArray(Lanes.FLOATS, e, i).add(1));
            FloatVector silu = s.mul(x);
            // silu'(a) = sigmoid(a) (1 + a - silu(a))
            FloatVector slope = x.sub(silu).add(1).mul(s);
            FloatVector.fromArray(Lanes.FLOATS, b, i).mul(g).mul(slope).intoArray(a, i);
            silu.mul(g).intoArray(b, i);
        }
    }

    static void gelu(INDArray x, INDArray y) {
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] xs = scratch.array(0, Pass.TILE);
                    buffers[0].get(at, xs, 0, length);
                    float[] e = scratch.array(1, Pass.TILE);
                    exponents(xs, e, length);
                    Lanes.exp(e, -1, 0, e, 0, length, scratch.array(2, Lanes.COUNT));
                    gelu(xs, e, length);
                    buffers[1].put(at, xs, 0, length);
                },
                x,
                y);
    }

    /** What the sigmoid is taken of, 2 u. */
    private static void exponents(float[] xs, float[] us, int length) {
        FloatVector cubic = FloatVector.broadcast(Lanes.FLOATS, CUBIC);
        FloatVector linear = FloatVector.broadcast(Lanes.FLOATS, LINEAR);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, xs, i);
            x.mul(x).fma(cubic, linear).mul(x).intoArray(us, i);
        }
    }

    /** x = x / (1 + e), e = exp(-2 u). */
    private static void gelu(float[] xs, float[] es, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, xs, i)
                    .div(FloatVector.fromArray(Lanes.FLOATS, es, i).add(1))
                    .intoArray(xs, i);
        }
    }

    static void geluGradient(INDArray dy, INDArray x, INDArray dx) {
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] g = scratch.array(0, Pass.TILE);
                    float[] xs = scratch.array(1, Pass.TILE);
                    buffers[0].get(at, g, 0, length);
                    buffers[1].get(at, xs, 0, length);
                    float[] e = scratch.array(2, Pass.TILE);
                    exponents(xs, e, length);
                    Lanes.exp(e, -1, 0, e, 0, length, scratch.array(3, Lanes.COUNT));
                    geluGradient(g, xs, e, length);
                    buffers[2].put(at, g, 0, length);
                },
                dy,
                x,
                dx);
    }

    /** dy = dy gelu'(x), gelu'(x) = s + s (1 - s) x (2 u)', s = sigmoid(2 u) = 1 / (1 + e). */
    private static void geluGradient(float[] dy, float[] xs, float[] es, int length) {
        FloatVector cubic = FloatVector.broadcast(Lanes.FLOATS, 3 * CUBIC);
        FloatVector linear = FloatVector.broadcast(Lanes.FLOATS, LINEAR);
        FloatVector ones = FloatVector.broadcast(Lanes.FLOATS, 1);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, xs, i);
            FloatVector s = ones.div(FloatVector.fromArray(Lanes.FLOATS, es, i).add(1));
            FloatVector slope = x.mul(x).fma(cubic, linear).mul(x);
            slope.fma(ones.sub(s).mul(s), s)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, dy, i))
                    .intoArray(dy, i);
        }
    }
}
