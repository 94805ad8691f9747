package org.npp4j.layers;

/**
 * One parameter array of a layer.
 *
 * @param name its key; Deeplearning4j joins layer and key with an underscore, so it holds none
 * @param kind what it is for
 * @param shape its shape
 */
record LayerParameter(String name, Kind kind, long... shape) {

    enum Kind {
        /** A matrix [in, out] in 'f' order: the bytes of a PyTorch Linear.weight [out, in]. Decayed. */
        WEIGHT,
        /** A look-up table [rows, width] in 'c' order: the bytes of a PyTorch Embedding.weight. Decayed. */
        TABLE,
        /** A table that is drawn from N(0, 1 / width), so that its rows have length 1 or so. Decayed. */
        UNIT_TABLE,
        /** The same, but never trained: its gradient is 0. Not decayed. */
        FIXED_UNIT_TABLE,
        /** A scale for every unit, initially 1. Not decayed. */
        GAIN,
        /** A number that is added to every unit, initially the layer's biasInit, which is 0 by default. */
        BIAS,
        /** As WEIGHT, but initially 0. Decayed. */
        ZERO_WEIGHT
    }

    /** Whether it takes weight decay. */
    boolean decayed() {
        return kind == Kind.WEIGHT || kind == Kind.ZERO_WEIGHT || kind == Kind.TABLE || kind == Kind.UNIT_TABLE;
    }

    char order() {
        return kind == Kind.WEIGHT || kind == Kind.ZERO_WEIGHT ? 'f' : 'c';
    }

    long length() {
        long length = 1;
        for (long side : shape) {
            length *= side;
        }
        return length;
    }
}
