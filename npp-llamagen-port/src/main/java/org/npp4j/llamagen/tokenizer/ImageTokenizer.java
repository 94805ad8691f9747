package org.npp4j.llamagen.tokenizer;

import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.images.PixelImages;

/**
 * Turns images of one size into grids of discrete tokens, and grids of tokens into images.
 *
 * <p>Token ids are rows [B][N] in raster order of {@link #grid()}, each from 0 to {@link #vocabulary()} - 1.
 */
public interface ImageTokenizer {
    /** {@return the token grid of one image} */
    TokenGrid grid();

    /** {@return V, the number of different tokens} */
    int vocabulary();

    /**
     * Tokens of images.
     *
     * @param images [B, C, H, W] of the size that the tokenizer was made for
     * @return ids [B][N], N = tokens of the grid
     * @throws IllegalArgumentException if the images have another size or number of channels
     */
    int[][] encode(PixelImages images);

    /**
     * Images of tokens.
     *
     * @param ids [B][N], N = tokens of the grid
     * @return images [B, C, H, W]
     * @throws IllegalArgumentException if a row has another length or an id is outside the vocabulary
     */
    PixelImages decode(int[][] ids);
}
