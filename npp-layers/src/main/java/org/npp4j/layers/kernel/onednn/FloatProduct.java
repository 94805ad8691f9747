package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DST;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_SRC;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_WEIGHTS;

import org.bytedeco.dnnl.IntMemoryMap;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.matmul;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.primitive_attr;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.FloatPointer;

/** One shape of product c = a b by oneDNN's {@code matmul}, made once. For one thread. */
final class FloatProduct {
    /** What tells one product from another: the layouts of the factors and of the result. */
    record Key(MatrixLayout a, MatrixLayout b, MatrixLayout c) {
        /**
         * Whether {@code matmul} is faster than {@code dnnl_sgemm}: for a left factor by rows and a right one by columns,
         * as in a forward pass, if rows are few or sums are long.
         */
        boolean isFaster() {
            return a.byRows()
                    && !b.byRows()
                    && b.columns() >= FEWEST_COLUMNS
                    && (a.rows() <= FEW_ROWS || a.columns() >= LONG_SUM);
        }
    }

    private static final long FEWEST_COLUMNS = 64;
    private static final long FEW_ROWS = 512;
    private static final long LONG_SUM = 1024;

    private final memory a;
    private final memory b;
    private final memory c;
    private final matmul product;
    private final IntMemoryMap arguments;

    FloatProduct(Key key, engine engine) {
        FloatPointer nowhere = new FloatPointer();
        a = new memory(floats(key.a), engine, nowhere);
        b = new memory(floats(key.b), engine, nowhere);
        c = new memory(floats(key.c), engine, nowhere);
        product = new matmul(new matmul.primitive_desc(
                new matmul.desc(floats(key.a), floats(key.b), floats(key.c)), new primitive_attr(), engine, false));
        arguments =
                new IntMemoryMap().put(DNNL_ARG_SRC, a).put(DNNL_ARG_WEIGHTS, b).put(DNNL_ARG_DST, c);
    }

    private static memory.desc floats(MatrixLayout layout) {
        return new memory.desc(layout.shape(), memory.data_type.f32, layout.strides());
    }

    void execute(stream stream, FloatPointer left, FloatPointer right, FloatPointer result) {
        a.set_data_handle(left);
        b.set_data_handle(right);
        c.set_data_handle(result);
        product.execute(stream, arguments);
        stream._wait();
    }
}
