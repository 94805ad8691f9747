package org.npp4j.llamagen.tokenizer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One step of a VQ encoder or decoder, with the tensors that it has in a checkpoint. Encoder and decoder are chains of
 * these: the only place that knows their order and their published names.
 *
 * @param kind what it does
 * @param name published prefix of its tensors, such as {@code encoder.mid.0}
 * @param in channels that it takes
 * @param out channels that it gives
 */
record VqModule(Kind kind, String name, int in, int out) {
    /** Buffer of a checkpoint: what the last codes were, of no use for encoding or decoding. */
    static final String CODEBOOK_USED = "quantize.codebook_used";
    /** The codes, [V, D], of any length. */
    static final String CODEBOOK = "quantize.embedding.weight";

    /** What a module does. */
    enum Kind {
        /** A 3 x 3 convolution, one pixel of zeros around the image. */
        CONVOLUTION,
        /** A 1 x 1 convolution. */
        POINTWISE,
        /** A 3 x 3 convolution with stride 2, one row of zeros below and one column on the right. */
        DOWNSAMPLING,
        /** Every pixel four times, then a 3 x 3 convolution. */
        UPSAMPLING,
        /** x + conv(swish(norm(conv(swish(norm(x)))))). */
        RESIDUAL,
        /** x + attention of all pixels to all. */
        ATTENTION,
        /** swish(norm(x)). */
        NORM
    }

    /** From an image to latents: [B, H, W, 3] -> [B, H/f, W/f, D]. */
    static List<VqModule> encoder(VqConfig config) {
        List<VqModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels();
        modules.add(new VqModule(Kind.CONVOLUTION, "encoder.conv_in", 3, width));
        for (int level = 0; level <= last; level++) {
            String block = "encoder.conv_blocks." + level;
            int out = config.channels(level);
            level(modules, block, width, out, config.residualBlocks(), level == last);
            width = out;
            if (level < last) {
                modules.add(new VqModule(Kind.DOWNSAMPLING, block + ".downsample.conv", width, width));
            }
        }
        middle(modules, "encoder.mid", width);
        modules.add(new VqModule(Kind.NORM, "encoder.norm_out", width, width));
        modules.add(new VqModule(Kind.CONVOLUTION, "encoder.conv_out", width, config.zChannels()));
        modules.add(new VqModule(Kind.POINTWISE, "quant_conv", config.zChannels(), config.codebookDim()));
        return modules;
    }

    /** From codes to an image: [B, H/f, W/f, D] -> [B, H, W, 3]. */
    static List<VqModule> decoder(VqConfig config) {
        List<VqModule> modules = new ArrayList<>();
        int last = config.levels() - 1;
        int width = config.channels(last);
        modules.add(new VqModule(Kind.POINTWISE, "post_quant_conv", config.codebookDim(), config.zChannels()));
        modules.add(new VqModule(Kind.CONVOLUTION, "decoder.conv_in", config.zChannels(), width));
        middle(modules, "decoder.mid", width);
        for (int level = last; level >= 0; level--) {
            String block = "decoder.conv_blocks." + (last - level);
            int out = config.channels(level);
            level(modules, block, width, out, config.residualBlocks() + 1, level == last);
            width = out;
            if (level > 0) {
                modules.add(new VqModule(Kind.UPSAMPLING, block + ".upsample.conv", width, width));
            }
        }
        modules.add(new VqModule(Kind.NORM, "decoder.norm_out", width, width));
        modules.add(new VqModule(Kind.CONVOLUTION, "decoder.conv_out", width, 3));
        return modules;
    }

    private static void level(List<VqModule> modules, String block, int in, int out, int count, boolean attention) {
        for (int i = 0; i < count; i++) {
            modules.add(new VqModule(Kind.RESIDUAL, block + ".res." + i, i == 0 ? in : out, out));
            if (attention) {
                modules.add(new VqModule(Kind.ATTENTION, block + ".attn." + i, out, out));
            }
        }
    }

    private static void middle(List<VqModule> modules, String name, int width) {
        modules.add(new VqModule(Kind.RESIDUAL, name + ".0", width, width));
        modules.add(new VqModule(Kind.ATTENTION, name + ".1", width, width));
        modules.add(new VqModule(Kind.RESIDUAL, name + ".2", width, width));
    }

    /** All tensors of a checkpoint: published name -> shape. */
    static Map<String, long[]> shapes(VqConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        encoder(config).forEach(module -> shapes.putAll(module.shapes()));
        decoder(config).forEach(module -> shapes.putAll(module.shapes()));
        shapes.put(CODEBOOK, new long[] {config.codebookSize(), config.codebookDim()});
        return shapes;
    }

    /** Its tensors: published name -> shape, [out, in, height, width] of a convolution. */
    Map<String, long[]> shapes() {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        switch (kind) {
            case CONVOLUTION, DOWNSAMPLING, UPSAMPLING -> convolution(shapes, name, 3, in, out);
            case POINTWISE -> convolution(shapes, name, 1, in, out);
            case NORM -> norm(shapes, name, in);
            case RESIDUAL -> {
                norm(shapes, name + ".norm1", in);
                convolution(shapes, name + ".conv1", 3, in, out);
                norm(shapes, name + ".norm2", out);
                convolution(shapes, name + ".conv2", 3, out, out);
                if (in != out) {
                    convolution(shapes, name + ".nin_shortcut", 1, in, out);
                }
            }
            case ATTENTION -> {
                norm(shapes, name + ".norm", in);
                for (String part : List.of("q", "k", "v", "proj_out")) {
                    convolution(shapes, name + "." + part, 1, in, in);
                }
            }
        }
        return shapes;
    }

    /**
     * Operations of a chain: two for each multiplication of a convolution or of attention with its addition.
     *
     * @param modules of an encoder or decoder
     * @param positions pixels that the first module takes
     */
    static double operations(List<VqModule> modules, double positions) {
        double sum = 0;
        double now = positions;
        for (VqModule module : modules) {
            now = module.kind == Kind.DOWNSAMPLING ? now / 4 : module.kind == Kind.UPSAMPLING ? now * 4 : now;
            for (long[] shape : module.shapes().values()) {
                if (shape.length == 4) {
                    sum += 2 * now * Arrays.stream(shape).asDoubleStream().reduce(1, (a, b) -> a * b);
                }
            }
            // scores of all pairs of positions, and sums of values by them
            sum += module.kind == Kind.ATTENTION ? 4 * now * now * module.in : 0;
        }
        return sum;
    }

    private static void convolution(Map<String, long[]> shapes, String name, int side, int in, int out) {
        shapes.put(name + ".weight", new long[] {out, in, side, side});
        shapes.put(name + ".bias", new long[] {out});
    }

    private static void norm(Map<String, long[]> shapes, String name, int channels) {
        shapes.put(name + ".weight", new long[] {channels});
        shapes.put(name + ".bias", new long[] {channels});
    }
}
