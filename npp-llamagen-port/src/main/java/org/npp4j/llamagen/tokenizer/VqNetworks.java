package org.npp4j.llamagen.tokenizer;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

/**
 * Encoder, codebook and decoder of a VQ tokenizer, for images of any size. The networks work on NHWC, here images are NCHW.
 * One call at a time: every method that computes is synchronized.
 */
final class VqNetworks {
    private final VqConfig config;
    private final List<AutoencoderModule> encoderModules;
    private final List<AutoencoderModule> decoderModules;
    private final ComputationGraph encoder;
    private final ComputationGraph decoder;
    private final INDArray codebook;

    /** The codes with length 1; null until they are asked for. */
    private NearestDirection directions;

    private VqNetworks(VqConfig config, long seed, boolean random) {
        this.config = config;
        encoderModules = VqModules.encoder(config);
        decoderModules = VqModules.decoder(config);
        encoder = AutoencoderChain.network(encoderModules, VqConfig.GROUPS, seed, random);
        decoder = AutoencoderChain.network(decoderModules, VqConfig.GROUPS, seed + 1, random);
        codebook = random
                ? Nd4j.randn(DataType.FLOAT, config.codebookSize(), config.codebookDim())
                : Nd4j.create(DataType.FLOAT, config.codebookSize(), config.codebookDim());
    }

    /** Networks whose weights are all 0, to be set. */
    static VqNetworks unset(VqConfig config) {
        return new VqNetworks(config, 1, false);
    }

    /** Networks with weights as PyTorch draws them. */
    static VqNetworks random(VqConfig config, long seed) {
        Nd4j.getRandom().setSeed(seed == 0 ? 1 : seed);
        return new VqNetworks(config, seed == 0 ? 1 : seed, true);
    }

    VqConfig config() {
        return config;
    }

    /** All weights: published name -> view of the published shape. Who writes into the codebook calls {@link #codebookChanged}. */
    Map<String, INDArray> weights() {
        Map<String, INDArray> weights = new LinkedHashMap<>(AutoencoderChain.weights(encoder, encoderModules));
        weights.putAll(AutoencoderChain.weights(decoder, decoderModules));
        weights.put(VqModules.CODEBOOK, codebook);
        return weights;
    }

    synchronized void codebookChanged() {
        directions = null;
    }

    private NearestDirection directions() {
        if (directions == null) {
            directions = new NearestDirection(AutoencoderChain.floats(codebook), config.codebookDim());
        }
        return directions;
    }

    /**
     * Latents of images.
     *
     * @param images [B, 3, H, W] in [-1, 1]
     * @return [B x h x w x D], of length 1
     * @throws IllegalStateException if one is not a number
     */
    synchronized float[] latents(INDArray images) {
        // [B, 3, H, W] -> [B, H, W, 3] -> [B, h, w, D]
        INDArray output = encoder.outputSingle(images.permute(0, 2, 3, 1).dup('c'));
        float[] latents = AutoencoderChain.floats(output);
        output.close();
        NearestDirection.toUnitLength(latents, config.codebookDim());
        for (float value : latents) {
            if (Float.isNaN(value)) {
                throw new IllegalStateException(
                        "The encoder gives latents that are not numbers (NaN). Check the images and the weights");
            }
        }
        return latents;
    }

    /**
     * The nearest codes.
     *
     * @param latents [R x D], of length 1
     * @return R ids
     */
    synchronized int[] nearest(float[] latents) {
        return directions().find(latents);
    }

    /**
     * Images of codes.
     *
     * @param ids [B][N], each a code
     * @param grid of N tokens
     * @return [B, 3, H, W], nominally in [-1, 1]
     */
    synchronized INDArray decode(int[][] ids, TokenGrid grid) {
        float[] codes = directions().codes();
        int values = config.codebookDim();
        float[] chosen = new float[ids.length * grid.tokens() * values];
        int start = 0;
        for (int[] image : ids) {
            for (int id : image) {
                System.arraycopy(codes, id * values, chosen, start, values);
                start += values;
            }
        }
        try (INDArray input = Nd4j.createFromArray(chosen)) {
            // [B, h, w, D] -> [B, H, W, 3] -> [B, 3, H, W]
            INDArray output =
                    decoder.outputSingle(input.reshape('c', ids.length, grid.getHeight(), grid.getWidth(), values));
            INDArray images = output.permute(0, 3, 1, 2).dup('c');
            output.close();
            return images;
        }
    }
}
