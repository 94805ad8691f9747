package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import java.util.Map;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

/** Encoder, codebook and decoder of a VQ tokenizer. */
final class VqNetworks {
    private final VqConfig config;
    private NearestDirection directions;

    private VqNetworks(VqConfig config) {
        this.config = config;
    }

    static VqNetworks unset(VqConfig config) {
        return new VqNetworks(config);
    }

    static VqNetworks random(VqConfig config, long seed) {
        return new VqNetworks(config);
    }

    VqConfig config() {
        return config;
    }

    Map<String, INDArray> weights() {
        throw new UnsupportedOperationException("The networks are not built yet");
    }

    void codebookChanged() {
        directions = null;
    }

    float[] latents(INDArray images) {
        throw new UnsupportedOperationException("The networks are not built yet");
    }

    int[] nearest(float[] latents) {
        return directions.find(latents);
    }

    INDArray decode(int[][] ids, TokenGrid grid) {
        throw new UnsupportedOperationException("The networks are not built yet, " + Arrays.deepToString(ids) + grid);
    }

    static INDArray empty() {
        return Nd4j.empty();
    }
}
