package org.npp4j.samples;

import java.util.function.IntConsumer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.ImageRandom;
import org.npp4j.llamagen.sampling.TokenSamplers;

/** What the images of a run are drawn from: image i has a condition of its own, whatever batch it is in. */
interface SampleConditions {
    /**
     * Draws a batch.
     *
     * @param decoder of the network
     * @param first index of its first image
     * @param count images
     * @param guidance how much the condition counts
     * @param samplers of the run
     * @param afterPosition told how many positions are done
     * @return [count][N] token ids
     */
    int[][] draw(
            GptDecoder decoder,
            int first,
            int count,
            Guidance guidance,
            TokenSamplers samplers,
            IntConsumer afterPosition);

    /** {@return whether the conditions are classes, not captions} */
    boolean areClasses();

    /**
     * The classes of some images.
     *
     * @param first index of the first
     * @param count how many
     * @return [count]
     * @throws IllegalStateException if the conditions are captions
     */
    int[] classes(int first, int count);

    /** Given classes, over and over. */
    static SampleConditions ofClasses(int[] given) {
        return new Classes(image -> given[image % given.length]);
    }

    /** A random class for each image, from the seed and its index. */
    static SampleConditions ofRandomClasses(int classes, long seed) {
        return new Classes(image -> ImageRandom.of(seed, image, "class").nextInt(classes));
    }

    /**
     * Given captions, over and over.
     *
     * @param captions [k, C, S]
     * @param mask [k, C], or null
     */
    static SampleConditions ofCaptions(INDArray captions, INDArray mask) {
        return new Captions(captions, mask);
    }

    /** The class of each image. */
    @FunctionalInterface
    interface ClassOfImage {
        int of(int image);
    }

    /** Classes. */
    record Classes(ClassOfImage classOf) implements SampleConditions {
        @Override
        public int[][] draw(
                GptDecoder decoder,
                int first,
                int count,
                Guidance guidance,
                TokenSamplers samplers,
                IntConsumer afterPosition) {
            return decoder.generate(classes(first, count), guidance, samplers.from(first), afterPosition);
        }

        @Override
        public boolean areClasses() {
            return true;
        }

        @Override
        public int[] classes(int first, int count) {
            int[] classes = new int[count];
            for (int i = 0; i < count; i++) {
                classes[i] = classOf.of(first + i);
            }
            return classes;
        }
    }

    /** Captions. */
    record Captions(INDArray captions, INDArray mask) implements SampleConditions {
        @Override
        public int[][] draw(
                GptDecoder decoder,
                int first,
                int count,
                Guidance guidance,
                TokenSamplers samplers,
                IntConsumer afterPosition) {
            int[] rows = new int[count];
            for (int i = 0; i < count; i++) {
                rows[i] = (int) ((first + i) % captions.size(0));
            }
            return decoder.generate(
                    select(captions, rows),
                    mask == null ? null : select(mask, rows),
                    guidance,
                    samplers.from(first),
                    afterPosition);
        }

        /** The rows of the first axis, a copy. */
        private static INDArray select(INDArray from, int[] rows) {
            long[] shape = from.shape().clone();
            shape[0] = rows.length;
            INDArray selected = Nd4j.createUninitialized(from.dataType(), shape, 'c');
            for (int i = 0; i < rows.length; i++) {
                selected.slice(i).assign(from.slice(rows[i]));
            }
            return selected;
        }

        @Override
        public boolean areClasses() {
            return false;
        }

        @Override
        public int[] classes(int first, int count) {
            throw new IllegalStateException("Captions are no classes");
        }
    }
}
