package org.npp4j.llamagen.checkpoint;

import java.util.List;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * One parameter of a LlamaGen GPT, as PyTorch names and shapes it and as the network does.
 *
 * <p>PyTorch keeps the weight of a linear layer as [out, in] in row order, the network as [in, out] in column order. These
 * are the same numbers in the same sequence, so either can be seen as the other without copying.
 *
 * @param name published name, such as {@code layers.0.attention.wqkv.weight}
 * @param networkName name in the network's parameter table, such as {@code block0_Wqkv}
 * @param shape published shape
 * @param transposed whether the network has it the other way round
 * @param trained whether PyTorch's optimizer trains it; what it keeps as a buffer has no optimizer state
 */
public record GptParameter(String name, String networkName, List<Long> shape, boolean transposed, boolean trained) {
    /**
     * Copies the shape.
     *
     * @param name published name
     * @param networkName name in the network's parameter table
     * @param shape published shape
     * @param transposed whether the network has it the other way round
     * @param trained whether PyTorch's optimizer trains it
     */
    public GptParameter {
        shape = List.copyOf(shape);
    }

    /** {@return how many numbers it has} */
    public long elements() {
        return shape.stream().reduce(1L, (a, b) -> a * b);
    }

    /** {@return whether weight decay acts on it: it has 2 or more dimensions} */
    public boolean decayed() {
        return shape.size() > 1;
    }

    /** {@return the published shape as an array} */
    public long[] shapeArray() {
        return shape.stream().mapToLong(Long::longValue).toArray();
    }

    /**
     * Sees an array of the network, the parameter itself or its gradient, in the published shape.
     *
     * @param networkArray [in, out], [rows, width] or [width]
     * @return a view of the published shape
     */
    public INDArray published(INDArray networkArray) {
        // [in, out] -> [out, in]; tables and gains are the same in both
        return transposed ? networkArray.transpose() : networkArray.reshape(networkArray.ordering(), shapeArray());
    }
}
