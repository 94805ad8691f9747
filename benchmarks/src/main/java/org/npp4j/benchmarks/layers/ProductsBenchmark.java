package org.npp4j.benchmarks.layers;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.benchmarks.OperationBenchmark;
import org.npp4j.layers.kernel.Products;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** Products of activations [R, in] and weights [in, out], in every orientation: 2 x R x in x out operations each. */
public class ProductsBenchmark extends OperationBenchmark {
    /** R. */
    @Param({"8", "256", "1024"})
    public int rows;

    /** in x out. */
    @Param({"768x2048", "768x16384"})
    public String weight;

    private INDArray x;
    private INDArray w;
    private INDArray y;
    private INDArray columnOrderedY;
    private INDArray dx;
    private INDArray dw;

    /** Arrays of this size. */
    @Setup
    public void makeArrays() {
        int[] size =
                Arrays.stream(weight.split("x")).mapToInt(Integer::parseInt).toArray();
        x = random(rows, size[0]);
        w = random(size[1], size[0]).transpose(); // [in, out], 'f' order
        y = random(rows, size[1]);
        columnOrderedY = Nd4j.createUninitialized(DataType.FLOAT, new long[] {rows, size[1]}, 'f');
        dx = create(rows, size[0]);
        dw = Nd4j.createUninitialized(DataType.FLOAT, new long[] {size[0], size[1]}, 'f');
    }

    /** y = x W. */
    @Benchmark
    public void linear() {
        Products.linear(x, w, y);
    }

    /** y = x W in 'f' order. */
    @Benchmark
    public void linearOfFewRows() {
        Products.linearOfFewRows(x, w, columnOrderedY);
    }

    /** dx = dy W^T. */
    @Benchmark
    public void linearInputGradient() {
        Products.linearInputGradient(y, w, dx, 0);
    }

    /** dW = x^T dy. */
    @Benchmark
    public void linearWeightGradient() {
        Products.linearWeightGradient(x, y, dw);
    }
}
