package org.npp4j.llamagen.codes;

import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;

/** Is told how an extraction goes, in the thread that runs it. */
public interface ExtractionObserver {
    /**
     * It begins, or goes on where it was stopped.
     *
     * @param pictures all of them
     * @param done how many of them an earlier run has done
     * @param skipped how many of these it skipped
     */
    default void onStart(int pictures, int done, int skipped) {}

    /**
     * Pictures are stored or skipped.
     *
     * @param done pictures that are done, those of earlier runs among them
     * @param skipped how many of these were skipped
     */
    default void onProgress(int done, int skipped) {}

    /**
     * A picture cannot be used.
     *
     * @param picture it, with the reason
     */
    default void onSkip(Skipped picture) {}

    /**
     * A picture is smaller than the centre crop and was enlarged.
     *
     * @param picture its number
     */
    default void onEnlarged(int picture) {}

    /**
     * All codes are stored and are read once more.
     *
     * @param images how many were read
     * @param all how many there are
     */
    default void onCheck(int images, int all) {}
}
