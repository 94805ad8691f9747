/**
 * Stored token codes of image sets: how they are written from pictures, kept, and read in training.
 *
 * <p>Axis letters: N tokens of one image.
 */
package org.npp4j.llamagen.codes;
