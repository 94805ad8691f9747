package org.npp4j.llamagen.images;

import java.util.Random;

/** Draws that depend on a seed and the epoch alone, so that training which was interrupted goes on with the same ones. */
public final class EpochOrder {
    private EpochOrder() {}

    /**
     * The order of the images in an epoch.
     *
     * @param seed of all epochs
     * @param epoch from 0
     * @param images how many there are
     * @return a permutation of 0 to images - 1
     */
    public static int[] shuffled(long seed, int epoch, int images) {
        Random random = new Random(mixed((seed ^ 0x9e3779b97f4a7c15L) + epoch * 0xbf58476d1ce4e5b9L));
        int[] permutation = new int[images];
        for (int i = 0; i < permutation.length; i++) {
            int j = random.nextInt(i + 1);
            permutation[i] = permutation[j];
            permutation[j] = i;
        }
        return permutation;
    }

    /**
     * A choice for one image in an epoch.
     *
     * @param seed of all epochs
     * @param epoch from 0
     * @param image from 0
     * @param choices how many there are, at least 1
     * @return 0 to choices - 1, each equally likely
     */
    public static int choice(long seed, int epoch, int image, int choices) {
        long state = mixed(mixed(seed + 0x9e3779b97f4a7c15L * epoch) + 0xd1342543de82ef95L * image);
        return (int) Long.remainderUnsigned(mixed(state), choices);
    }

    /** Neighbouring numbers become ones that have nothing to do with each other; Random's first draws would resemble. */
    private static long mixed(long number) {
        long mixed = (number ^ number >>> 30) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ mixed >>> 27) * 0x94d049bb133111ebL;
        return mixed ^ mixed >>> 31;
    }
}
