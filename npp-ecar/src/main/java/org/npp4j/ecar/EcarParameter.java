package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.List;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.FlowLayer;
import org.npp4j.layers.LearnedPositions;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;

/**
 * One parameter, as a checkpoint names and shapes it and as the network does.
 *
 * @param name in a checkpoint, such as {@code layers.0.attention.wqkv.weight}
 * @param networkName in the network's parameter table, such as {@code block0_Wqkv}
 * @param shape in a checkpoint
 * @param transposed whether the network has it the other way round: [in, out] in 'f' order
 * @param from where it begins in the network's array, in numbers: the network keeps the positions of all stages in one
 */
public record EcarParameter(String name, String networkName, List<Long> shape, boolean transposed, long from) {
    /**
     * Copies the shape.
     *
     * @param name in a checkpoint
     * @param networkName in the network's parameter table
     * @param shape in a checkpoint
     * @param transposed whether the network has it the other way round
     * @param from where it begins in the network's array
     */
    public EcarParameter {
        shape = List.copyOf(shape);
    }

    /**
     * All parameters of a model.
     *
     * @param config the model
     * @return the parameters, in the order of PyTorch's {@code state_dict()}
     */
    public static List<EcarParameter> of(EcarConfig config) {
        long width = config.width();
        List<EcarParameter> all = new ArrayList<>();
        all.add(table(
                "classes.weight", Ecar.CLASS_EMBEDDING + "_" + TokenEmbedding.TABLE, config.classes() + 1L, width));
        linear(
                all,
                "embed",
                Ecar.RAISED_EMBEDDING + "_" + LinearProjection.WEIGHT,
                Ecar.RAISED_EMBEDDING + "_" + LinearProjection.BIAS,
                width,
                config.channels());
        all.add(table("level.weight", Ecar.POSITIONS + "_" + LearnedPositions.STAGE, config.stages(), width));
        for (int s = 0; s < config.stages(); s++) {
            all.add(new EcarParameter(
                    "position." + s,
                    Ecar.POSITIONS + "_" + LearnedPositions.POSITION,
                    List.of((long) config.stageLengths().length(s), width),
                    false,
                    config.stageLengths().start(s) * width));
        }
        for (int i = 0; i < config.layers(); i++) {
            block(all, "layers." + i + ".", Ecar.block(i), width);
        }
        all.add(new EcarParameter("norm.weight", Ecar.NORM + "_" + RmsNorm.GAIN, List.of(width), false, 0));
        all.addAll(config.head().parameters(config));
        return all;
    }

    private static EcarParameter table(String name, String networkName, long rows, long width) {
        return new EcarParameter(name, networkName, List.of(rows, width), false, 0);
    }

    static void linear(List<EcarParameter> all, String name, String weight, String bias, long out, long in) {
        all.add(new EcarParameter(name + ".weight", weight, List.of(out, in), true, 0));
        all.add(new EcarParameter(name + ".bias", bias, List.of(out), false, 0));
    }

    static void block(List<EcarParameter> all, String name, String layer, long width) {
        long feedForward = EcarConfig.feedForwardWidth(Math.toIntExact(width));
        String ours = layer + "_";
        weight(all, name + "attention.wqkv", ours + TransformerBlock.QKV_WEIGHT, 3 * width, width);
        weight(all, name + "attention.wo", ours + TransformerBlock.OUT_WEIGHT, width, width);
        weight(all, name + "feed_forward.w1", ours + TransformerBlock.GATE_WEIGHT, feedForward, width);
        weight(all, name + "feed_forward.w3", ours + TransformerBlock.UP_WEIGHT, feedForward, width);
        weight(all, name + "feed_forward.w2", ours + TransformerBlock.DOWN_WEIGHT, width, feedForward);
        all.add(new EcarParameter(
                name + "attention_norm.weight", ours + TransformerBlock.ATTENTION_GAIN, List.of(width), false, 0));
        all.add(new EcarParameter(
                name + "ffn_norm.weight", ours + TransformerBlock.FEED_FORWARD_GAIN, List.of(width), false, 0));
    }

    private static void weight(List<EcarParameter> all, String name, String networkName, long out, long in) {
        all.add(new EcarParameter(name + ".weight", networkName, List.of(out, in), true, 0));
    }

    static List<EcarParameter> ofFlowLayer(EcarConfig config, String layer, long width) {
        List<EcarParameter> all = new ArrayList<>();
        String ours = layer + "_";
        linear(all, "head.inp", ours + FlowLayer.STATE_WEIGHT, ours + FlowLayer.STATE_BIAS, width, config.channels());
        linear(
                all,
                "head.cond",
                ours + FlowLayer.CONDITION_WEIGHT,
                ours + FlowLayer.CONDITION_BIAS,
                width,
                config.width());
        all.add(table("head.level.weight", ours + FlowLayer.STAGE, config.stages(), width));
        linear(
                all,
                "head.time.0",
                ours + FlowLayer.TIME_IN_WEIGHT,
                ours + FlowLayer.TIME_IN_BIAS,
                width,
                2L * FlowLayer.FREQUENCIES);
        linear(all, "head.time.2", ours + FlowLayer.TIME_OUT_WEIGHT, ours + FlowLayer.TIME_OUT_BIAS, width, width);
        return all;
    }

    /** {@return the shape as an array} */
    public long[] shapeArray() {
        return shape.stream().mapToLong(Long::longValue).toArray();
    }

    /** {@return how many numbers it has} */
    public long elements() {
        return shape.stream().reduce(1L, (a, b) -> a * b);
    }

    /**
     * Sees an array of the network, the parameter itself or its gradient, as a checkpoint has it.
     *
     * @param networkArray [in, out] in 'f' order, or in 'c' order anything else
     * @return a view of the shape in a checkpoint
     */
    public INDArray published(INDArray networkArray) {
        if (transposed) {
            return networkArray.transpose();
        }
        return networkArray
                .reshape('c', new long[] {networkArray.length()})
                .get(NDArrayIndex.interval(from, from + elements()))
                .reshape('c', shapeArray());
    }
}
