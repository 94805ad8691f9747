package org.npp4j.llamagen.codes;

import java.io.IOException;

/** Adds images to a set of codes, one behind the other. Not safe for several threads. */
interface CodeWriter extends AutoCloseable {
    /** {@return how many images are stored whole} */
    int images();

    /**
     * Stores an image behind the others, whole or not at all: after a kill, it is there if this has returned.
     *
     * @param codesOfCrops [crops][N]
     * @param label the class
     * @throws IOException if it cannot be written; the images before it stay
     */
    void add(int[][] codesOfCrops, int label) throws IOException;

    /**
     * Makes what was added survive a power cut.
     *
     * @throws IOException if it cannot be written
     */
    void force() throws IOException;

    @Override
    void close() throws IOException;
}
