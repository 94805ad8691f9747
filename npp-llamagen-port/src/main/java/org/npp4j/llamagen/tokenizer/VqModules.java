package org.npp4j.llamagen.tokenizer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.npp4j.llamagen.tokenizer.AutoencoderModule.Kind;

/** Encoder and decoder of a VQ tokenizer: the only place that knows their order and their published names. */
final class VqModules {
    /** Buffer of a checkpoint: what the last codes were, of no use for encoding or decoding. */
    static final String CODEBOOK_USED = "quantize.codebook_used";
    /** The codes, [V, D], of any length. */
    static final String CODEBOOK = "quantize.embedding.weight";

    private VqModules() {}

    /** From an image to latents: [B, H, W, 3] -> [B, H/f, W/f, D]. */
    static List<AutoencoderModule> encoder(VqConfig config) {
        List<AutoencoderModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels();
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "encoder.conv_in", 3, width));
        for (int level = 0; level <= last; level++) {
            String block = "encoder.conv_blocks." + level;
            int out = config.channels(level);
            level(modules, block, width, out, config.residualBlocks(), level == last);
            width = out;
            if (level < last) {
                modules.add(new AutoencoderModule(Kind.DOWNSAMPLING, block + ".downsample.conv", width, width));
            }
        }
        middle(modules, "encoder.mid", width);
        modules.add(new AutoencoderModule(Kind.NORM, "encoder.norm_out", width, width));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "encoder.conv_out", width, config.zChannels()));
        modules.add(new AutoencoderModule(Kind.POINTWISE, "quant_conv", config.zChannels(), config.codebookDim()));
        return modules;
    }

    /** From codes to an image: [B, H/f, W/f, D] -> [B, H, W, 3]. */
    static List<AutoencoderModule> decoder(VqConfig config) {
        List<AutoencoderModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels(last);
        modules.add(new AutoencoderModule(Kind.POINTWISE, "post_quant_conv", config.codebookDim(), config.zChannels()));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "decoder.conv_in", config.zChannels(), width));
        middle(modules, "decoder.mid", width);
        for (int level = last; level >= 0; level--) {
            String block = "decoder.conv_blocks." + (last - level);
            int out = config.channels(level);
            level(modules, block, width, out, config.residualBlocks() + 1, level == last);
            width = out;
            if (level > 0) {
                modules.add(new AutoencoderModule(Kind.UPSAMPLING, block + ".upsample.conv", width, width));
            }
        }
        modules.add(new AutoencoderModule(Kind.NORM, "decoder.norm_out", width, width));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "decoder.conv_out", width, 3));
        return modules;
    }

    private static void level(
            List<AutoencoderModule> modules, String block, int in, int out, int count, boolean attention) {
        for (int i = 0; i < count; i++) {
            modules.add(new AutoencoderModule(Kind.RESIDUAL, block + ".res." + i, i == 0 ? in : out, out));
            if (attention) {
                modules.add(new AutoencoderModule(Kind.ATTENTION, block + ".attn." + i, out, out));
            }
        }
    }

    private static void middle(List<AutoencoderModule> modules, String name, int width) {
        modules.add(new AutoencoderModule(Kind.RESIDUAL, name + ".0", width, width));
        modules.add(new AutoencoderModule(Kind.ATTENTION, name + ".1", width, width));
        modules.add(new AutoencoderModule(Kind.RESIDUAL, name + ".2", width, width));
    }

    /** All tensors of a checkpoint: published name -> shape. */
    static Map<String, long[]> shapes(VqConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        encoder(config).forEach(module -> shapes.putAll(module.shapes()));
        decoder(config).forEach(module -> shapes.putAll(module.shapes()));
        shapes.put(CODEBOOK, new long[] {config.codebookSize(), config.codebookDim()});
        return shapes;
    }
}
