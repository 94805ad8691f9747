package org.npp4j.llamagen.training;

/**
 * A step that was made.
 *
 * @param step steps made so far, this one included
 * @param epoch of its images, from 0
 * @param stage index of its stage, from 0
 * @param patchSide p; 1 where there are no patches
 * @param learningRate it was made with
 * @param loss mean over the whole batch without weight decay; of a GPT the cross-entropy in nats per token
 * @param score the same with the regularization terms, as Deeplearning4j's listeners see it
 * @param gradientNorm global norm of the gradients before clipping
 * @param images of the batch
 * @param seconds it took, with making its batch
 */
public record TrainingStep(
        int step,
        int epoch,
        int stage,
        int patchSide,
        double learningRate,
        double loss,
        double score,
        double gradientNorm,
        int images,
        double seconds) {
    /** {@return exp(loss), the perplexity of a GPT} */
    public double perplexity() {
        return Math.exp(loss);
    }
}
