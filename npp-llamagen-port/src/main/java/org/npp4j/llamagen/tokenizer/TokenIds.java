package org.npp4j.llamagen.tokenizer;

import org.npp4j.layers.TokenGrid;

/** What token ids must be like. */
final class TokenIds {
    private TokenIds() {}

    /**
     * Refuses ids that a tokenizer cannot decode.
     *
     * @param ids [B][N]
     * @param grid of one image
     * @param vocabulary V
     * @throws IllegalArgumentException if a row has another length than the grid or an id is not in 0 to V - 1
     */
    static void require(int[][] ids, TokenGrid grid, int vocabulary) {
        int tokens = grid.tokens();
        for (int i = 0; i < ids.length; i++) {
            if (ids[i].length != tokens) {
                throw new IllegalArgumentException("Row " + i + " has " + ids[i].length + " token ids; an image of the "
                        + grid + " has " + tokens);
            }
            for (int n = 0; n < tokens; n++) {
                if (ids[i][n] < 0 || ids[i][n] >= vocabulary) {
                    throw new IllegalArgumentException("Token id " + ids[i][n] + " at row " + i + ", position " + n
                            + " is outside the vocabulary: ids run from 0 to " + (vocabulary - 1));
                }
            }
        }
    }
}
