package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_ATTR_MULTIPLE_POST_OP_BASE;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DST;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_SRC;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_SRC_1;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_WEIGHTS;

import org.bytedeco.dnnl.IntMemoryMap;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.dnnl.matmul;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.post_ops;
import org.bytedeco.dnnl.primitive_attr;
import org.bytedeco.dnnl.reorder;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;

/** One shape of product c = alpha a b + beta c, c by rows: two roundings and the product, made once. */
final class Bf16Product {
    /**
     * What tells one product from another.
     *
     * @param a layout of the left factor
     * @param b layout of the right factor
     * @param c layout of the result, by rows
     * @param scaled whether there is an alpha; its value is told when it is executed
     * @param beta factor of what c held
     */
    record Key(MatrixLayout a, MatrixLayout b, MatrixLayout c, boolean scaled, float beta) {}

    private final memory a;
    private final memory b;
    private final memory c;
    private final memory roundedA;
    private final memory roundedB;
    private final FloatPointer alpha = new FloatPointer(1L);
    private final reorder roundA;
    private final reorder roundB;
    private final matmul product;
    private final IntMemoryMap arguments;
    private final long leftBytes;
    private final long rightBytes;

    Bf16Product(Key key, engine engine) {
        // Not formats of oneDNN's choice: they gain little, and 2.5.2 gives wrong numbers with them (33 to 63 columns).
        memory.desc left = rounded(key.a);
        memory.desc right = rounded(key.b);
        memory.desc result = floats(key.c);
        post_ops after = new post_ops();
        memory.desc scalar = new memory.desc(new long[] {1, 1}, memory.data_type.f32, memory.format_tag.ab);
        if (key.scaled) {
            after.append_binary(dnnl.algorithm.binary_mul, scalar);
        }
        if (key.beta != 0) {
            after.append_sum(key.beta, memory.data_type.undef);
        }
        primitive_attr attributes = new primitive_attr();
        attributes.set_post_ops(after);
        matmul.primitive_desc chosen =
                new matmul.primitive_desc(new matmul.desc(left, right, result), attributes, engine, false);
        product = new matmul(chosen);
        leftBytes = chosen.src_desc().get_size();
        rightBytes = chosen.weights_desc().get_size();

        FloatPointer nowhere = new FloatPointer();
        a = new memory(floats(key.a), engine, nowhere);
        b = new memory(floats(key.b), engine, nowhere);
        c = new memory(result, engine, nowhere);
        roundedA = new memory(chosen.src_desc(), engine, nowhere);
        roundedB = new memory(chosen.weights_desc(), engine, nowhere);
        roundA = new reorder(a, roundedA);
        roundB = new reorder(b, roundedB);
        arguments = new IntMemoryMap()
                .put(DNNL_ARG_SRC, roundedA)
                .put(DNNL_ARG_WEIGHTS, roundedB)
                .put(DNNL_ARG_DST, c);
        if (key.scaled) {
            arguments.put(DNNL_ARG_ATTR_MULTIPLE_POST_OP_BASE | DNNL_ARG_SRC_1, new memory(scalar, engine, alpha));
        }
    }

    private static memory.desc rounded(MatrixLayout layout) {
        return new memory.desc(
                layout.shape(), memory.data_type.bf16, layout.dense().strides());
    }

    private static memory.desc floats(MatrixLayout layout) {
        return new memory.desc(layout.shape(), memory.data_type.f32, layout.strides());
    }

    /** {@return bytes of the rounded left factor} */
    long leftBytes() {
        return leftBytes;
    }

    /** {@return bytes of the rounded right factor} */
    long rightBytes() {
        return rightBytes;
    }

    void execute(
            stream stream,
            FloatPointer leftFactor,
            BytePointer leftBuffer,
            FloatPointer rightFactor,
            BytePointer rightBuffer,
            FloatPointer result,
            float factor) {
        a.set_data_handle(leftFactor);
        b.set_data_handle(rightFactor);
        c.set_data_handle(result);
        roundedA.set_data_handle(leftBuffer);
        roundedB.set_data_handle(rightBuffer);
        alpha.put(factor);
        roundA.execute(stream, a, roundedA);
        roundB.execute(stream, b, roundedB);
        product.execute(stream, arguments);
        stream._wait();
    }
}
