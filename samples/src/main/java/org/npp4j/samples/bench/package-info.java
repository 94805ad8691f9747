/**
 * What {@code npp bench} times: one class for each job, and the line of JSON that it prints. A new job is a
 * {@link org.npp4j.samples.bench.Benchmark} and an entry in {@link org.npp4j.samples.bench.Job}.
 */
package org.npp4j.samples.bench;
