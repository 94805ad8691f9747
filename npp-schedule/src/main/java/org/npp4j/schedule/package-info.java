/**
 * How Next Patch Prediction is spread over a training run: the stages of patch sides, the listener that switches them, the
 * learning rate of each stage, the Adam of PyTorch, clipping by the global norm, the average of the weights, what a plan costs and a guard against divergence.
 *
 * <p>Patch sides and grids are those of {@link org.npp4j.layers.TokenGrid}; N is the number of tokens in a grid, K the
 * number of patches. Positions in a training run (epochs or iterations) count from 0 and ends are exclusive.
 */
package org.npp4j.schedule;
