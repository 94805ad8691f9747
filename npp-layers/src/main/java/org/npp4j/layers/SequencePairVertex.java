package org.npp4j.layers;

import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.memory.LayerMemoryReport;
import org.deeplearning4j.nn.conf.memory.MemoryReport;

/** A vertex without parameters that makes one sequence of two inputs: a condition, and a sequence [B, T, D] in NWC. */
public abstract class SequencePairVertex extends GraphVertex {
    private static final long serialVersionUID = 1L;

    /** For subclasses, which Deeplearning4j makes from JSON. */
    protected SequencePairVertex() {}

    @Override
    public long numParams(boolean backprop) {
        return 0;
    }

    @Override
    public int minVertexInputs() {
        return 2;
    }

    @Override
    public int maxVertexInputs() {
        return 2;
    }

    @Override
    public MemoryReport getMemoryReport(InputType... inputTypes) {
        return new LayerMemoryReport.Builder(null, getClass(), inputTypes[1], inputTypes[1])
                .standardMemory(0, 0)
                .workingMemory(0, 0, 0, 0)
                .cacheMemory(0, 0)
                .build();
    }
}
