package org.npp4j.llamagen.tokenizer;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.npp4j.llamagen.tokenizer.AutoencoderModule.Kind;

/**
 * Encoder and decoder of a KL autoencoder under the names of the first publication (latent-diffusion): the only place that
 * knows their order. {@link KlLayout} knows the other published names.
 */
final class KlModules {
    private static final int COLOURS = 3;

    private KlModules() {}

    /** From an image to mean and log variance: [B, H, W, 3] -> [B, H/f, W/f, 2 D]. */
    static List<AutoencoderModule> encoder(KlConfig config) {
        List<AutoencoderModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels();
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "encoder.conv_in", COLOURS, width));
        for (int level = 0; level <= last; level++) {
            String name = "encoder.down." + level;
            boolean attention = config.encoderAttention().contains(level);
            level(modules, name, width, config.channels(level), config.residualBlocks(), attention);
            width = config.channels(level);
            if (level < last) {
                modules.add(new AutoencoderModule(Kind.DOWNSAMPLING, name + ".downsample.conv", width, width));
            }
        }
        middle(modules, "encoder.mid", width);
        modules.add(new AutoencoderModule(Kind.NORM, "encoder.norm_out", width, width));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "encoder.conv_out", width, 2 * config.zChannels()));
        modules.add(new AutoencoderModule(
                Kind.POINTWISE, "quant_conv", 2 * config.zChannels(), 2 * config.latentChannels()));
        return modules;
    }

    /** From latents to an image: [B, H/f, W/f, D] -> [B, H, W, 3]. */
    static List<AutoencoderModule> decoder(KlConfig config) {
        List<AutoencoderModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels(last);
        modules.add(
                new AutoencoderModule(Kind.POINTWISE, "post_quant_conv", config.latentChannels(), config.zChannels()));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "decoder.conv_in", config.zChannels(), width));
        middle(modules, "decoder.mid", width);
        for (int level = last; level >= 0; level--) {
            String name = "decoder.up." + level;
            boolean attention = config.decoderAttention().contains(level);
            level(modules, name, width, config.channels(level), config.residualBlocks() + 1, attention);
            width = config.channels(level);
            if (level > 0) {
                modules.add(new AutoencoderModule(Kind.UPSAMPLING, name + ".upsample.conv", width, width));
            }
        }
        modules.add(new AutoencoderModule(Kind.NORM, "decoder.norm_out", width, width));
        modules.add(new AutoencoderModule(Kind.CONVOLUTION, "decoder.conv_out", width, COLOURS));
        return modules;
    }

    private static void level(
            List<AutoencoderModule> modules, String name, int in, int out, int count, boolean attention) {
        for (int i = 0; i < count; i++) {
            modules.add(new AutoencoderModule(Kind.RESIDUAL, name + ".block." + i, i == 0 ? in : out, out));
            if (attention) {
                modules.add(new AutoencoderModule(Kind.ATTENTION, name + ".attn." + i, out, out));
            }
        }
    }

    private static void middle(List<AutoencoderModule> modules, String name, int width) {
        modules.add(new AutoencoderModule(Kind.RESIDUAL, name + ".block_1", width, width));
        modules.add(new AutoencoderModule(Kind.ATTENTION, name + ".attn_1", width, width));
        modules.add(new AutoencoderModule(Kind.RESIDUAL, name + ".block_2", width, width));
    }

    /** All tensors: name -> shape. */
    static Map<String, long[]> shapes(KlConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        encoder(config).forEach(module -> shapes.putAll(module.shapes()));
        decoder(config).forEach(module -> shapes.putAll(module.shapes()));
        return shapes;
    }
}
