/**
 * Image tokenizers: images to token ids and back; KL autoencoders: images to continuous latents and back; how both are trained.
 *
 * <p>Axis letters: B images, C channels, H x W pixels (height x width), N tokens of one image, S side of a pixel block, D
 * = C x S x S values in a block, V codes (the vocabulary), R blocks in one matrix product. Of VQ tokenizers: N = h x w
 * latents of D values for one image, R latents in one matrix product.
 */
package org.npp4j.llamagen.tokenizer;
