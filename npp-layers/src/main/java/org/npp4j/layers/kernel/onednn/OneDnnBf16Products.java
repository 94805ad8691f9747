package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.dnnl_cpu_isa_avx512_core_bf16;
import static org.bytedeco.dnnl.global.dnnl.dnnl_get_effective_cpu_isa;

import java.util.Arrays;
import java.util.Map;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.MatrixProducts;

/**
 * Products of floats whose factors are rounded to bfloat16 first, summed and stored in float, by oneDNN's {@code matmul}.
 *
 * <p>Rounding is to nearest, ties to even; NaN stays NaN; numbers below 2^-126 become 0. The rounded factors live in two
 * buffers that all products share, so that one product runs at a time; it has all cores.
 */
public final class OneDnnBf16Products implements MatrixProducts {
    private final engine processor;
    private final stream stream;
    private final Buffer left = new Buffer();
    private final Buffer right = new Buffer();
    private final Map<Bf16Product.Key, Bf16Product> products = new Recent<>();

    /**
     * Loads oneDNN.
     *
     * @throws UnsatisfiedLinkError if its natives are missing
     * @throws IllegalStateException if the processor has no products in bf16
     */
    public OneDnnBf16Products() {
        Loader.load(org.bytedeco.dnnl.global.dnnl.class);
        requireBf16(dnnl_get_effective_cpu_isa());
        processor = new engine(engine.kind.cpu, 0);
        stream = new stream(processor);
    }

    /** The instruction sets are bits; that of AMX includes that of AVX-512. */
    static void requireBf16(int isa) {
        if ((isa & dnnl_cpu_isa_avx512_core_bf16) != dnnl_cpu_isa_avx512_core_bf16) {
            throw new IllegalStateException("Mixed precision in bf16 was asked for, but the processor lacks products in"
                    + " bf16 (avx512_bf16 or amx_bf16 in the flags of /proc/cpuinfo), or the environment variable"
                    + " DNNL_MAX_CPU_ISA hides them. Train in float");
        }
    }

    @Override
    public void multiply(INDArray a, INDArray b, INDArray c, double alpha, double beta) {
        if (layout(c).byRows()) {
            multiplyByRows(a, layout(a), b, layout(b), c, layout(c), (float) alpha, (float) beta);
        } else {
            // c^T = b^T a^T
            multiplyByRows(
                    b,
                    layout(b).transpose(),
                    a,
                    layout(a).transpose(),
                    c,
                    layout(c).transpose(),
                    (float) alpha,
                    (float) beta);
        }
    }

    private synchronized void multiplyByRows(
            INDArray a,
            MatrixLayout aLayout,
            INDArray b,
            MatrixLayout bLayout,
            INDArray c,
            MatrixLayout cLayout,
            float alpha,
            float beta) {
        Bf16Product.Key key = new Bf16Product.Key(aLayout, bLayout, cLayout, alpha != 1, beta);
        Bf16Product product = products.get(key);
        if (product == null) {
            product = new Bf16Product(key, processor);
            products.put(key, product);
        }
        product.execute(
                stream,
                MatrixLayout.memory(a),
                left.atLeast(product.leftBytes()),
                MatrixLayout.memory(b),
                right.atLeast(product.rightBytes()),
                MatrixLayout.memory(c),
                alpha);
    }

    private static MatrixLayout layout(INDArray array) {
        if (array.dataType() != DataType.FLOAT) {
            throw new IllegalStateException("Products in bf16 take arrays of FLOAT, got " + array.dataType()
                    + ". Build the network with dataType(DataType.FLOAT), or set the precision to float");
        }
        MatrixLayout layout = MatrixLayout.of(array);
        if (layout == null) {
            throw new IllegalArgumentException("A matrix must have contiguous rows or columns, got "
                    + Arrays.toString(array.shape()) + " with strides " + Arrays.toString(array.stride())
                    + ". Copy it: dup()");
        }
        return layout;
    }

    @Override
    public String description() {
        return OneDnnProducts.version() + " bf16";
    }

    /** Native memory that grows to the largest need. */
    private static final class Buffer {
        private BytePointer memory = new BytePointer(0L);

        BytePointer atLeast(long bytes) {
            if (memory.capacity() < bytes) {
                memory.deallocate();
                memory = new BytePointer(bytes);
            }
            return memory;
        }
    }
}
