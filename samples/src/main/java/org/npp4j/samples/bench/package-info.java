/**
 * What {@code npp bench} times: one class for each job, and the comparison with PyTorch. A new job is a
 * {@link org.npp4j.samples.bench.Benchmark} and an entry in {@link org.npp4j.samples.bench.Job}; the peer's form of it is in
 * the resource {@code peer/peer_bench.py}.
 */
package org.npp4j.samples.bench;
