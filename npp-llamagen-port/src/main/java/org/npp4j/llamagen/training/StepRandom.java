package org.npp4j.llamagen.training;

import org.nd4j.linalg.factory.Nd4j;

/** Makes the random numbers of a step a function of the seed and the step, so that no state needs to be saved. */
final class StepRandom {
    private static final long GOLDEN = 0x9e3779b97f4a7c15L;

    private StepRandom() {}

    /** Sets ND4J's random numbers of this thread, which all dropouts draw from. */
    static void begin(long seed, int step) {
        Nd4j.getRandom().setSeed(seed(seed, step));
    }

    /** The two are mixed well, since neighbouring seeds of generators start alike (Steele et al., SplitMix64). */
    static long seed(long seed, int step) {
        long mixed = seed * GOLDEN + (step + 1L) * 0xd1342543de82ef95L;
        mixed = (mixed ^ mixed >>> 30) * 0xbf58476d1ce4e5b9L;
        mixed = (mixed ^ mixed >>> 27) * 0x94d049bb133111ebL;
        mixed ^= mixed >>> 31;
        // ND4J takes 0 to mean "from the clock"
        return mixed == 0 ? GOLDEN : mixed;
    }
}
