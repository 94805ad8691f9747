package org.npp4j.llamagen.checkpoint;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;

/** The parameters of LlamaGen's GPTs under their published names: the only place that knows which is which. */
public final class GptParameters {
    /** Published name of the class table. */
    static final String CLASS_TABLE = "cls_embedding.embedding_table.weight";

    private GptParameters() {}

    /**
     * All parameters in the order of a published checkpoint, which is that of PyTorch's {@code state_dict()}.
     *
     * @param spec the sizes
     * @return the parameters
     */
    public static List<GptParameter> of(GptSpec spec) {
        long width = spec.width();
        long headWidth = width / spec.heads();
        long qkv = (spec.heads() + 2L * spec.keyValueHeads()) * headWidth;
        long feedForward = spec.feedForwardWidth();
        List<GptParameter> all = new ArrayList<>();
        if (spec.textConditional()) {
            long captionWidth = spec.captionWidth();
            String caption = LlamaGen.CAPTION_EMBEDDING + "_";
            // PyTorch keeps it as a buffer, which no optimizer sees
            all.add(new GptParameter(
                    "cls_embedding.uncond_embedding",
                    caption + CaptionEmbedding.UNCONDITIONAL,
                    List.of((long) spec.conditionTokens(), captionWidth),
                    false,
                    false));
            all.add(linear("cls_embedding.cap_proj.fc1", caption + CaptionEmbedding.IN_WEIGHT, width, captionWidth));
            all.add(linear("cls_embedding.cap_proj.fc2", caption + CaptionEmbedding.OUT_WEIGHT, width, width));
        } else {
            all.add(table(CLASS_TABLE, LlamaGen.CLASS_EMBEDDING, List.of((long) spec.classRows(), width)));
        }
        all.add(table("tok_embeddings.weight", LlamaGen.TOKEN_EMBEDDING, List.of((long) spec.vocabulary(), width)));
        for (int i = 0; i < spec.layers(); i++) {
            String ours = LlamaGen.block(i) + "_";
            String published = "layers." + i + ".";
            all.add(linear(published + "attention.wqkv", ours + TransformerBlock.QKV_WEIGHT, qkv, width));
            all.add(linear(published + "attention.wo", ours + TransformerBlock.OUT_WEIGHT, width, width));
            all.add(linear(published + "feed_forward.w1", ours + TransformerBlock.GATE_WEIGHT, feedForward, width));
            all.add(linear(published + "feed_forward.w3", ours + TransformerBlock.UP_WEIGHT, feedForward, width));
            all.add(linear(published + "feed_forward.w2", ours + TransformerBlock.DOWN_WEIGHT, width, feedForward));
            all.add(gain(published + "attention_norm", ours + TransformerBlock.ATTENTION_GAIN, width));
            all.add(gain(published + "ffn_norm", ours + TransformerBlock.FEED_FORWARD_GAIN, width));
        }
        all.add(gain("norm", LlamaGen.NORM + "_" + RmsNorm.GAIN, width));
        all.add(linear("output", LlamaGen.OUTPUT + "_W", spec.vocabulary(), width));
        return all;
    }

    private static GptParameter table(String name, String layer, List<Long> shape) {
        return new GptParameter(name, layer + "_" + TokenEmbedding.TABLE, shape, false, true);
    }

    private static GptParameter linear(String name, String networkName, long out, long in) {
        return new GptParameter(name + ".weight", networkName, List.of(out, in), true, true);
    }

    private static GptParameter gain(String name, String networkName, long width) {
        return new GptParameter(name + ".weight", networkName, List.of(width), false, true);
    }
}
