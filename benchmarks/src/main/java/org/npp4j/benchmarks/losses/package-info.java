/** Operations of {@code npp-losses}. */
package org.npp4j.benchmarks.losses;
