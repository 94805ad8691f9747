/**
 * Fused operations for processors with the JDK's Vector API, single precision.
 *
 * <p>The API is an incubating module that must be added when the JVM starts, so nothing outside this package names its
 * classes; {@link org.npp4j.layers.kernel.Kernels} loads them by name. Numbers are copied between ND4J's memory and small
 * arrays on the heap, tile by tile within the first-level caches: loads from arrays are the part of the API that is the same
 * in all releases of Java since 17.
 */
package org.npp4j.layers.kernel.vector;
