package org.npp4j.layers.kernel.onednn;

import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.memory;
import org.bytedeco.dnnl.post_ops;
import org.bytedeco.dnnl.primitive_attr;
import org.bytedeco.dnnl.reorder;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.FloatPointer;

/** Copies images [B, Y, X, C] to every second row and column of larger ones, or back. */
final class EverySecondPixel {
    /** What is copied where. */
    enum Kind {
        /** To the larger images. */
        SPREAD,
        /** From the larger images. */
        COLLECT,
        /** From the larger images, added to what is there. */
        ADD
    }

    /**
     * What tells one from another.
     *
     * @param kind what is copied where
     * @param batch B
     * @param height Y
     * @param width X
     * @param channels C
     * @param largeHeight rows of the larger images
     * @param largeWidth columns of the larger images
     */
    record Key(Kind kind, long batch, long height, long width, long channels, long largeHeight, long largeWidth) {}

    private final Kind kind;
    private final memory small;
    private final memory large;
    private final reorder copy;

    EverySecondPixel(Key key, engine engine) {
        kind = key.kind;
        long[] shape = {key.batch, key.channels, key.height, key.width};
        long row = key.largeWidth * key.channels;
        FloatPointer nowhere = new FloatPointer();
        small = new memory(new memory.desc(shape, memory.data_type.f32, memory.format_tag.nhwc), engine, nowhere);
        large = new memory(
                new memory.desc(
                        shape, memory.data_type.f32, new long[] {key.largeHeight * row, 1, 2 * row, 2 * key.channels}),
                engine,
                nowhere);
        primitive_attr attributes = new primitive_attr();
        if (kind == Kind.ADD) {
            post_ops sum = new post_ops();
            sum.append_sum(1f, memory.data_type.undef);
            attributes.set_post_ops(sum);
        }
        copy = kind == Kind.SPREAD ? new reorder(small, large, attributes) : new reorder(large, small, attributes);
    }

    /**
     * Copies.
     *
     * @param smaller images
     * @param larger the first pixel that belongs to them
     */
    void execute(stream stream, FloatPointer smaller, FloatPointer larger) {
        small.set_data_handle(smaller);
        large.set_data_handle(larger);
        if (kind == Kind.SPREAD) {
            copy.execute(stream, small, large);
        } else {
            copy.execute(stream, large, small);
        }
        stream._wait();
    }
}
