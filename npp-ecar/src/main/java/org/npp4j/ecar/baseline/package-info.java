/**
 * What ECAR is measured against: a diffusion transformer (Peebles and Xie, arXiv 2212.09748) on the same latents. Its network is
 * that of the paper: patches of the latent as tokens, fixed positions, blocks with adaLN-Zero that the time and the class
 * modulate. It is trained and sampled with the straight flow from noise to latent that ECAR's stages have too (as SiT, arXiv
 * 2401.08740), not with the paper's diffusion: the same loss, the same Euler steps, so that what differs is the stages.
 *
 * <p>Letters here: P side of a patch, T = (G / P)^2 tokens, D width.
 */
package org.npp4j.ecar.baseline;
