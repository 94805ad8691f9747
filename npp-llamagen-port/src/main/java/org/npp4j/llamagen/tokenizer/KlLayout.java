package org.npp4j.llamagen.tokenizer;

import java.util.Map;
import java.util.Set;

/** The published names of a KL autoencoder's tensors. */
enum KlLayout {
    /** latent-diffusion and what follows it: the names of {@link KlModules}. */
    COMPVIS {
        @Override
        String name(String name, int levels) {
            return name;
        }
    },
    /** diffusers. */
    DIFFUSERS {
        @Override
        String name(String name, int levels) {
            return diffusers(name, levels, NEW_ATTENTION);
        }
    },
    /** diffusers, with the names that its attention had in earlier releases. */
    EARLY_DIFFUSERS {
        @Override
        String name(String name, int levels) {
            return diffusers(name, levels, EARLY_ATTENTION);
        }
    };

    private static final String MIDDLE = "encoder.mid_block.attentions.0.";
    private static final Map<String, String> NEW_ATTENTION =
            Map.of("norm", "group_norm", "q", "to_q", "k", "to_k", "v", "to_v", "proj_out", "to_out.0");
    private static final Map<String, String> EARLY_ATTENTION =
            Map.of("norm", "group_norm", "q", "query", "k", "key", "v", "value", "proj_out", "proj_attn");

    /**
     * The layout of a file.
     *
     * @param names of its tensors
     * @return the layout; null if they are none of a KL autoencoder
     */
    static KlLayout of(Set<String> names) {
        if (names.stream().anyMatch(name -> name.startsWith("encoder.down."))) {
            return COMPVIS;
        }
        if (names.stream().noneMatch(name -> name.startsWith("encoder.down_blocks."))) {
            return null;
        }
        return names.contains(MIDDLE + "query.weight") ? EARLY_DIFFUSERS : DIFFUSERS;
    }

    /**
     * The name of a tensor in this layout.
     *
     * @param name as {@link KlModules} has it
     * @param levels of the model, L: diffusers counts those of the decoder from the coarsest
     * @return the name in a file
     */
    abstract String name(String name, int levels);

    private static String diffusers(String name, int levels, Map<String, String> attention) {
        String[] parts = name.split("\\.");
        if (parts.length < 3) {
            return name;
        }
        String side = parts[0] + ".";
        // .weight or .bias
        String end = "." + parts[parts.length - 1];
        switch (parts[1]) {
            case "norm_out" -> {
                return side + "conv_norm_out" + end;
            }
            case "mid" -> {
                String part = parts[3];
                return side + "mid_block."
                        + switch (parts[2]) {
                            case "attn_1" -> "attentions.0." + attention.get(part);
                            case "block_1" -> "resnets.0." + part;
                            default -> "resnets.1." + part;
                        } + end;
            }
            case "down", "up" -> {
                int level = Integer.parseInt(parts[2]);
                boolean down = parts[1].equals("down");
                String block = side + (down ? "down_blocks." + level : "up_blocks." + (levels - 1 - level)) + ".";
                return block
                        + switch (parts[3]) {
                            case "downsample" -> "downsamplers.0.conv";
                            case "upsample" -> "upsamplers.0.conv";
                            case "attn" -> "attentions." + parts[4] + "." + attention.get(parts[5]);
                            default -> "resnets." + parts[4] + "."
                                    + (parts[5].equals("nin_shortcut") ? "conv_shortcut" : parts[5]);
                        }
                        + end;
            }
            default -> {
                return name;
            }
        }
    }
}
