/**
 * Stage-wise autoregressive generation of continuous tokens with a multistage flow (ECAR, arXiv 2412.14170).
 *
 * <p>The paper's abstract says: there is no quantiser; token maps are generated stage by stage at growing resolution, each
 * conditioned on the ones before; a multistage flow transforms, in each stage, distributions that are only partly denoised;
 * all tokens of a stage are processed at once. No code of it is published, and what the abstract does not say - the number of
 * stages, noise windows, how a stage starts from the one before, masks, flow heads, steps, guidance, sizes - is a
 * reconstruction from published models of the same kind: pyramidal flow matching (arXiv 2410.05954), next-scale prediction
 * (arXiv 2404.02905) and autoregression without quantisation (arXiv 2406.11838). Classes say so where it concerns them.
 *
 * <p>Axis letters beside those of the layers: S stages, s a stage from 0 (coarsest), G side of the finest grid, C channels of
 * a latent, N tokens of all stages together. Latents are [B, C, G, G]; stage s has the side G / 2^(S - 1 - s). Tokens of a
 * stage are its positions in raster order.
 */
package org.npp4j.ecar;
