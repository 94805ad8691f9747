/**
 * The run-time halves of the layers. A half knows its own configuration and the kernel, nothing above it.
 *
 * <p>Axis letters are those of {@link org.npp4j.layers}.
 */
package org.npp4j.layers.impl;
