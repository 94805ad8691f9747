package org.npp4j.llamagen;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * The published LlamaGen sizes.
 *
 * <p>A size is a number of layers, heads and a width. What the model is conditioned on is a setting of its own: the paper
 * trains GPT-B to GPT-XXXL on classes and lists GPT-1B, GPT-3B and GPT-7B as text-conditional, but checkpoints of other
 * combinations exist (a text-conditional GPT-XL, a class-conditional GPT-3B).
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 */
public enum GptSize {
    /** 12 layers, 12 heads, width 768: 111 million parameters. */
    GPT_B("GPT-B", 12, 12, 768, false),
    /** 24 layers, 16 heads, width 1024: 343 million parameters. */
    GPT_L("GPT-L", 24, 16, 1024, false),
    /** 36 layers, 20 heads, width 1280: 775 million parameters. */
    GPT_XL("GPT-XL", 36, 20, 1280, false),
    /** 48 layers, 24 heads, width 1536: 1.4 billion parameters. */
    GPT_XXL("GPT-XXL", 48, 24, 1536, false),
    /** 48 layers, 40 heads, width 2560: 3.9 billion parameters. */
    GPT_XXXL("GPT-XXXL", 48, 40, 2560, false),
    /** 22 layers, 32 heads, width 2048, text-conditional: 1.2 billion parameters. */
    GPT_1B("GPT-1B", 22, 32, 2048, true),
    /** 24 layers, 32 heads, width 3200, text-conditional: 3.1 billion parameters. */
    GPT_3B("GPT-3B", 24, 32, 3200, true),
    /** 32 layers, 32 heads, width 4096, text-conditional: 6.6 billion parameters. */
    GPT_7B("GPT-7B", 32, 32, 4096, true);

    private final String label;
    private final int layers;
    private final int heads;
    private final int width;
    private final boolean textConditional;

    GptSize(String label, int layers, int heads, int width, boolean textConditional) {
        this.label = label;
        this.layers = layers;
        this.heads = heads;
        this.width = width;
        this.textConditional = textConditional;
    }

    /**
     * The size of a published name.
     *
     * @param name such as {@code GPT-B}; case does not matter
     * @return the size
     * @throws IllegalArgumentException if there is no such size; the message lists all
     */
    public static GptSize named(String name) {
        for (GptSize size : values()) {
            if (name != null && size.label.equals(name.strip().toUpperCase(Locale.ROOT))) {
                return size;
            }
        }
        throw new IllegalArgumentException("There is no published size \"" + name + "\". Choose one of "
                + Arrays.stream(values()).map(GptSize::label).collect(Collectors.joining(", ")));
    }

    /** {@return the published name, such as GPT-B} */
    public String label() {
        return label;
    }

    /** {@return transformer blocks} */
    public int layers() {
        return layers;
    }

    /** {@return H, heads} */
    public int heads() {
        return heads;
    }

    /** {@return D, the width} */
    public int width() {
        return width;
    }

    /** {@return whether the paper lists this size as text-conditional} */
    public boolean textConditional() {
        return textConditional;
    }

    /**
     * The published model of this size: its {@link #textConditional() condition}, 16 x 16 tokens, 16384 codes.
     *
     * @return a builder to change the settings
     */
    public GptSpec.Builder spec() {
        GptSpec.Builder spec = GptSpec.of(layers, heads, width);
        return textConditional ? spec.captions() : spec;
    }

    /** The published name. */
    @Override
    public String toString() {
        return label;
    }
}
