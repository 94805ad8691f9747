/** Operations of {@code npp-schedule}. */
package org.npp4j.benchmarks.schedule;
