package org.npp4j.samples.bench;

import java.util.Random;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.GptSpec;

/** Images of random tokens: what a job's time does not depend on. */
final class RandomTokens {
    private RandomTokens() {}

    /** Token ids [B, N]. */
    static INDArray of(GptSpec spec, int batch, long seed) {
        Random random = new Random(seed);
        int[][] tokens = new int[batch][];
        for (int b = 0; b < batch; b++) {
            tokens[b] = random.ints(spec.grid().tokens(), 0, spec.vocabulary()).toArray();
        }
        return Nd4j.createFromArray(tokens);
    }
}
