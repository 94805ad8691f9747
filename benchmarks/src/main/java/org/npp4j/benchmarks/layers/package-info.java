/** Operations of {@code npp-layers}. */
package org.npp4j.benchmarks.layers;
