package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One step of a convolutional encoder or decoder, with the tensors that it has in a checkpoint. Encoder and decoder are chains
 * of these; {@link VqModules} and {@link KlModules} know their order and their published names.
 *
 * @param kind what it does
 * @param name published prefix of its tensors, such as {@code encoder.mid.0}
 * @param in channels that it takes
 * @param out channels that it gives
 */
record AutoencoderModule(Kind kind, String name, int in, int out) {
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

    /** {@return the numbers in all tensors of modules} */
    static long parameters(List<AutoencoderModule> modules) {
        long parameters = 0;
        for (AutoencoderModule module : modules) {
            for (long[] shape : module.shapes().values()) {
                parameters += Arrays.stream(shape).reduce(1, (a, b) -> a * b);
            }
        }
        return parameters;
    }

    /**
     * Operations of a chain: two for each multiplication of a convolution or of attention with its addition.
     *
     * @param modules of an encoder or decoder
     * @param positions pixels that the first module takes
     */
    static double operations(List<AutoencoderModule> modules, double positions) {
        double sum = 0;
        double now = positions;
        for (AutoencoderModule module : modules) {
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
