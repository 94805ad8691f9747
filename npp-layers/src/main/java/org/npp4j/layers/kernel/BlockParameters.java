package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The parameters of a transformer block. Weights are in 'f' order.
 *
 * @param epsilon added to the mean square by both norms
 * @param attentionGain [D]
 * @param queriesKeysValues [D, (H + 2 G) E]
 * @param attentionOut [H x E, D]
 * @param feedForwardGain [D]
 * @param gate [D, F]
 * @param up [D, F]
 * @param down [F, D]
 */
public record BlockParameters(
        double epsilon,
        INDArray attentionGain,
        INDArray queriesKeysValues,
        INDArray attentionOut,
        INDArray feedForwardGain,
        INDArray gate,
        INDArray up,
        INDArray down) {}
