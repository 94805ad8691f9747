/**
 * The LlamaGen GPTs on Deeplearning4j: their sizes and their graphs.
 *
 * <p>Axis letters are those of {@link org.npp4j.layers}.
 */
package org.npp4j.llamagen;
