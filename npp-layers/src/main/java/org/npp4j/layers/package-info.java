/**
 * The parts of a network that Next Patch Prediction and its transformers need and Deeplearning4j lacks: what a user puts
 * into a configuration.
 *
 * <p>Axis letters, used throughout: B batch, T positions of a sequence, D width, N tokens in a grid, P patch side (p), K
 * patches, V vocabulary, H heads, G key/value heads, E width of a head, F width of the feed-forward part, C condition
 * tokens, R = B x T rows. Sequences are NWC, [B, T, D], unless a class says otherwise. Images are NHWC, [B, Y, X, C]: Y rows
 * and X columns of pixels, and here C are channels.
 */
package org.npp4j.layers;
