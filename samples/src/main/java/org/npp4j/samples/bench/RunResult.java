package org.npp4j.samples.bench;

/**
 * What one process of a comparison reported.
 *
 * @param by who computed: name, versions, libraries
 * @param medianSeconds of a repetition
 * @param peakGib largest resident memory of the process in GiB
 */
public record RunResult(String by, double medianSeconds, double peakGib) {}
