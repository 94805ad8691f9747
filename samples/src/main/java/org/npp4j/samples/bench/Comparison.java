package org.npp4j.samples.bench;

import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * The same job done by us and by a peer, in turn, so that both suffer alike from whatever else the machine does. Every run
 * is a fresh process.
 *
 * @param ours our runs
 * @param peers the peer's runs; run i follows our run i
 */
public record Comparison(List<RunResult> ours, List<RunResult> peers) {
    /** {@return the median over the rounds of our time divided by the peer's in the same round} */
    public double timeRatio() {
        return medianRatio(RunResult::medianSeconds);
    }

    /** {@return the median over the rounds of our memory divided by the peer's in the same round} */
    public double memoryRatio() {
        return medianRatio(RunResult::peakGib);
    }

    private double medianRatio(ToDoubleFunction<RunResult> figure) {
        return Timings.median(IntStream.range(0, ours.size())
                .mapToDouble(i -> figure.applyAsDouble(ours.get(i)) / figure.applyAsDouble(peers.get(i)))
                .toArray());
    }

    /**
     * The median over runs.
     *
     * @param runs ours or the peer's
     * @param figure of a run
     * @return its median
     */
    public static double median(List<RunResult> runs, ToDoubleFunction<RunResult> figure) {
        return Timings.median(runs.stream().mapToDouble(figure).toArray());
    }
}
