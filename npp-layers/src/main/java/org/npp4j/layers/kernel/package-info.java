/**
 * The operations of transformer blocks, and those of layers on images, behind interfaces, so that a faster form for one
 * kind of processor can stand in for the form that runs on every ND4J backend.
 *
 * <p>All arrays are contiguous and in 'c' order unless a method says otherwise; axis letters are those of {@link
 * org.npp4j.layers}.
 */
package org.npp4j.layers.kernel;
