package org.npp4j.arbiter.ui;

import org.deeplearning4j.arbiter.optimize.api.termination.TerminationCondition;
import org.deeplearning4j.arbiter.optimize.runner.IOptimizationRunner;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/** When a sweep ends, as JSON. */
record NamedEnd(@JsonProperty("words") String words) implements TerminationCondition {
    @JsonCreator
    NamedEnd {}

    @Override
    public void initialize(IOptimizationRunner runner) {
        // nothing to prepare
    }

    @Override
    public boolean terminate(IOptimizationRunner runner) {
        throw new UnsupportedOperationException("This says when a sweep ends");
    }

    @Override
    public String toString() {
        return words;
    }
}
