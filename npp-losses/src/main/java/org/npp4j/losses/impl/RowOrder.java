package org.npp4j.losses.impl;

/** Which row of an [R, V] matrix belongs to which example s of B and which position t of K. */
public enum RowOrder {
    /** row = t x B + s: the order of Deeplearning4j's RnnToFeedForwardPreProcessor. */
    TIME_MAJOR {
        @Override
        public int row(int example, int position, int batch, int positions) {
            return position * batch + example;
        }
    },
    /** row = s x K + t: the order of a plain reshape of [B, K, V]. */
    BATCH_MAJOR {
        @Override
        public int row(int example, int position, int batch, int positions) {
            return example * positions + position;
        }
    };

    /**
     * The row of one position.
     *
     * @param example s
     * @param position t
     * @param batch B
     * @param positions K
     * @return the row
     */
    public abstract int row(int example, int position, int batch, int positions);
}
