package org.npp4j.ecar;

import java.util.List;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.OperationCount;
import org.npp4j.layers.TransformerBlock;

/**
 * Floating-point operations of a model; a multiply-add counts as two. Biases, norms and activations are not counted, tables
 * are look-ups and cost nothing. With cached keys and values the transformer costs the same stage by stage as at once.
 *
 * @param transformer of one image: all stages, once
 * @param head of one image: one velocity at every token of all stages
 */
public record EcarCost(double transformer, double head) {
    private static final int PASSES_PER_STEP = 3;

    /**
     * The cost of a model.
     *
     * @param config the model
     * @return its operations
     */
    public static EcarCost of(EcarConfig config) {
        int positions = config.stageLengths().positions();
        TransformerBlock block = new TransformerBlock.Builder(
                        config.heads(), EcarConfig.feedForwardWidth(config.width()))
                .nIn(config.width())
                .mask(AttentionMask.blockCausal(config.stageLengths().getLengths()))
                .build();
        double raised = 2.0
                * config.channels()
                * config.width()
                * (positions - config.stageLengths().length(0));
        double head = 0;
        List<FlowHead.Part> parts = config.head().layers(config);
        for (FlowHead.Part part : parts) {
            head += operations(part.builder().build(), positions);
        }
        return new EcarCost(raised + config.layers() * block.forwardOperations(positions), head);
    }

    private static double operations(Layer layer, int positions) {
        if (layer instanceof OperationCount counted) {
            return counted.forwardOperations(positions);
        }
        return layer instanceof LinearProjection linear ? 2.0 * linear.getNIn() * linear.getNOut() * positions : 0;
    }

    /**
     * Operations of drawing an image.
     *
     * @param settings steps and guidance; with guidance everything is computed twice
     * @return operations
     */
    public double ofImage(FlowSampling settings) {
        return (settings.guided() ? 2 : 1) * (transformer + settings.steps() * head);
    }

    /** {@return operations of training on an image once: three forward passes, as the backward pass counts as two} */
    public double ofTrainingStep() {
        return PASSES_PER_STEP * (transformer + head);
    }
}
