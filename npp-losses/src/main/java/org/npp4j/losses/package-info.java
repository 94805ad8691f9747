/**
 * The loss of Next Patch Prediction, the output layer built on it and the evaluation of both: the second half of what a
 * user adds to a model, after {@code PatchAverage}.
 *
 * <p>Axis letters are those of {@code org.npp4j.layers}: B batch, T positions (here T = K, one position a patch), D width,
 * N tokens, P patch side (p), K patches, V vocabulary, R = B x K rows. A row order says which row of an [R, V] matrix
 * belongs to which example s and position t: time-major (row = t x B + s, what Deeplearning4j's stock layers use) or
 * batch-major (row = s x K + t, what a plain reshape of [B, K, V] gives).
 */
package org.npp4j.losses;
