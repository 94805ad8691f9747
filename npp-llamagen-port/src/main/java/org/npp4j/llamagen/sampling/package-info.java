/**
 * Drawing images from a trained GPT, token by token: the decoder with its key/value caches, guidance, and the choice of
 * each token.
 */
package org.npp4j.llamagen.sampling;
