package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_BIAS;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DIFF_BIAS;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DIFF_DST;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DIFF_SRC;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DIFF_WEIGHTS;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_DST;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_SRC;
import static org.bytedeco.dnnl.global.dnnl.DNNL_ARG_WEIGHTS;

import org.bytedeco.dnnl.IntMemoryMap;
import org.bytedeco.dnnl.convolution_backward_data;
import org.bytedeco.dnnl.convolution_backward_weights;
import org.bytedeco.dnnl.convolution_forward;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.post_ops;
import org.bytedeco.dnnl.primitive;
import org.bytedeco.dnnl.primitive_attr;
import org.bytedeco.dnnl.reorder;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;

/** A convolution of one shape, or one of its gradients, made once; weights are brought into oneDNN's own order and back. */
final class ConvolutionPrimitive {
    /** What is computed. */
    enum Kind {
        FORWARD,
        /** Forward, added to what is there. */
        FORWARD_ADD,
        INPUT_GRADIENT,
        WEIGHT_GRADIENT
    }

    /**
     * What tells one from another.
     *
     * @param kind what is computed
     * @param sizes of the images and the window
     */
    record Key(Kind kind, ConvolutionSizes sizes) {}

    private final Kind kind;
    private final memory x;
    private final memory w;
    private final memory ordered;
    private final memory bias;
    private final memory y;
    private final primitive convolution;
    private final reorder order;
    private final long orderedBytes;
    private final IntMemoryMap arguments = new IntMemoryMap();

    ConvolutionPrimitive(Key key, engine engine) {
        ConvolutionSizes s = key.sizes;
        kind = key.kind;
        memory.desc images =
                images(s.batch(), s.in(), s.rows().size(), s.columns().size());
        memory.desc results =
                images(s.batch(), s.out(), s.rows().outSize(), s.columns().outSize());
        memory.desc biases = new memory.desc(new long[] {s.out()}, memory.data_type.f32, memory.format_tag.x);
        long[] weightShape = {s.out(), s.in(), s.rows().side(), s.columns().side()};
        // rows of [out, taps, in]
        memory.desc plain = new memory.desc(weightShape, memory.data_type.f32, memory.format_tag.acdb);
        memory.desc any = new memory.desc(weightShape, memory.data_type.f32, memory.format_tag.any);
        long[] strides = {s.rows().stride(), s.columns().stride()};
        long[] before = {s.rows().before(), s.columns().before()};
        long[] after = {s.rows().after(), s.columns().after()};

        post_ops behind = new post_ops();
        if (kind == Kind.FORWARD_ADD) {
            behind.append_sum(1f, memory.data_type.undef); // not binary_add: slower, and wrong in 2.5.2 for some widths
        }
        primitive_attr attributes = new primitive_attr();
        attributes.set_post_ops(behind);
        convolution_forward.primitive_desc forward = new convolution_forward.primitive_desc(
                new convolution_forward.desc(
                        kind == Kind.INPUT_GRADIENT || kind == Kind.WEIGHT_GRADIENT
                                ? dnnl.prop_kind.forward_training
                                : dnnl.prop_kind.forward_inference,
                        dnnl.algorithm.convolution_direct,
                        images,
                        any,
                        biases,
                        results,
                        strides,
                        before,
                        after),
                attributes,
                engine,
                false);
        FloatPointer nowhere = new FloatPointer();
        x = new memory(images, engine, nowhere);
        w = new memory(plain, engine, nowhere);
        bias = new memory(biases, engine, nowhere);
        y = new memory(results, engine, nowhere);
        memory.desc chosen;
        switch (kind) {
            case INPUT_GRADIENT -> {
                convolution_backward_data.primitive_desc gradient = new convolution_backward_data.primitive_desc(
                        new convolution_backward_data.desc(
                                dnnl.algorithm.convolution_direct, images, any, results, strides, before, after),
                        engine,
                        forward,
                        false);
                chosen = gradient.weights_desc();
                convolution = new convolution_backward_data(gradient);
            }
            case WEIGHT_GRADIENT -> {
                convolution_backward_weights.primitive_desc gradient = new convolution_backward_weights.primitive_desc(
                        new convolution_backward_weights.desc(
                                dnnl.algorithm.convolution_direct,
                                images,
                                any,
                                biases,
                                results,
                                strides,
                                before,
                                after),
                        engine,
                        forward,
                        false);
                chosen = gradient.diff_weights_desc();
                convolution = new convolution_backward_weights(gradient);
            }
            default -> {
                chosen = forward.weights_desc();
                convolution = new convolution_forward(forward);
            }
        }
        orderedBytes = chosen.get_size();
        ordered = new memory(chosen, engine, nowhere);
        order = kind == Kind.WEIGHT_GRADIENT ? new reorder(ordered, w) : new reorder(w, ordered);
        switch (kind) {
            case INPUT_GRADIENT -> arguments
                    .put(DNNL_ARG_DIFF_SRC, x)
                    .put(DNNL_ARG_WEIGHTS, ordered)
                    .put(DNNL_ARG_DIFF_DST, y);
            case WEIGHT_GRADIENT -> arguments
                    .put(DNNL_ARG_SRC, x)
                    .put(DNNL_ARG_DIFF_WEIGHTS, ordered)
                    .put(DNNL_ARG_DIFF_BIAS, bias)
                    .put(DNNL_ARG_DIFF_DST, y);
            default -> {
                arguments
                        .put(DNNL_ARG_SRC, x)
                        .put(DNNL_ARG_WEIGHTS, ordered)
                        .put(DNNL_ARG_BIAS, bias)
                        .put(DNNL_ARG_DST, y);
            }
        }
    }

    /** Images [B, Y, X, C] by their axes B, C, Y, X. */
    private static memory.desc images(long batch, long channels, long height, long width) {
        return new memory.desc(
                new long[] {batch, channels, height, width}, memory.data_type.f32, memory.format_tag.nhwc);
    }

    /** {@return bytes of the weights in oneDNN's order} */
    long orderedBytes() {
        return orderedBytes;
    }

    /**
     * Computes.
     *
     * @param images x, or its gradient, which is written
     * @param weights w, or its gradient, which is written
     * @param buffer of at least {@link #orderedBytes}
     * @param biases or their gradient, which is written; null for the gradient of x
     * @param results y, which is written, or its gradient
     */
    void execute(
            stream stream,
            FloatPointer images,
            FloatPointer weights,
            BytePointer buffer,
            FloatPointer biases,
            FloatPointer results) {
        x.set_data_handle(images);
        w.set_data_handle(weights);
        ordered.set_data_handle(buffer);
        y.set_data_handle(results);
        if (biases != null) {
            bias.set_data_handle(biases);
        }
        if (kind == Kind.WEIGHT_GRADIENT) {
            convolution.execute(stream, arguments);
            order.execute(stream, ordered, w);
        } else {
            order.execute(stream, w, ordered);
            convolution.execute(stream, arguments);
        }
        stream._wait();
    }
}
