package org.npp4j.ecar.baseline;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.ecar.EcarParameter;
import org.npp4j.layers.AdaptiveNormBlock;
import org.npp4j.layers.AdaptiveNormProjection;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.TimeEmbedding;
import org.npp4j.layers.TokenEmbedding;

/**
 * The parameters of a {@link Dit} under the names of the published model. Tokens are flattened as P, P, C: {@code
 * x_embedder.proj.weight} is a matrix [D, P x P x C] here.
 */
public final class DitParameters {
    private DitParameters() {}

    /**
     * All parameters of a model.
     *
     * @param config the model
     * @return the parameters
     */
    public static List<EcarParameter> of(DitConfig config) {
        long d = config.width();
        List<EcarParameter> all = new ArrayList<>();
        linear(
                all,
                "x_embedder.proj",
                Dit.TOKEN_EMBEDDING,
                LinearProjection.WEIGHT,
                LinearProjection.BIAS,
                d,
                config.tokenWidth());
        linear(all, "t_embedder.mlp.0", Dit.TIME_EMBEDDING, TimeEmbedding.IN_WEIGHT, TimeEmbedding.IN_BIAS, d, 256);
        linear(all, "t_embedder.mlp.2", Dit.TIME_EMBEDDING, TimeEmbedding.OUT_WEIGHT, TimeEmbedding.OUT_BIAS, d, d);
        all.add(new EcarParameter(
                "y_embedder.embedding_table.weight",
                Dit.CLASS_EMBEDDING + "_" + TokenEmbedding.TABLE,
                List.of(config.classes() + 1L, d),
                false,
                0));
        for (int i = 0; i < config.layers(); i++) {
            String block = "blocks." + i + ".";
            String ours = Dit.block(i);
            long hidden = config.feedForwardWidth();
            linear(all, block + "attn.qkv", ours, AdaptiveNormBlock.QKV_WEIGHT, AdaptiveNormBlock.QKV_BIAS, 3 * d, d);
            linear(all, block + "attn.proj", ours, AdaptiveNormBlock.OUT_WEIGHT, AdaptiveNormBlock.OUT_BIAS, d, d);
            linear(all, block + "mlp.fc1", ours, AdaptiveNormBlock.UP_WEIGHT, AdaptiveNormBlock.UP_BIAS, hidden, d);
            linear(all, block + "mlp.fc2", ours, AdaptiveNormBlock.DOWN_WEIGHT, AdaptiveNormBlock.DOWN_BIAS, d, hidden);
            linear(
                    all,
                    block + "adaLN_modulation.1",
                    ours,
                    AdaptiveNormBlock.MODULATION_WEIGHT,
                    AdaptiveNormBlock.MODULATION_BIAS,
                    6 * d,
                    d);
        }
        linear(
                all,
                "final_layer.adaLN_modulation.1",
                Dit.PROJECTION,
                AdaptiveNormProjection.MODULATION_WEIGHT,
                AdaptiveNormProjection.MODULATION_BIAS,
                2 * d,
                d);
        linear(
                all,
                "final_layer.linear",
                Dit.PROJECTION,
                AdaptiveNormProjection.OUT_WEIGHT,
                AdaptiveNormProjection.OUT_BIAS,
                config.tokenWidth(),
                d);
        return all;
    }

    private static void linear(
            List<EcarParameter> all, String name, String layer, String weight, String bias, long out, long in) {
        all.add(new EcarParameter(name + ".weight", layer + "_" + weight, List.of(out, in), true, 0));
        all.add(new EcarParameter(name + ".bias", layer + "_" + bias, List.of(out), false, 0));
    }
}
