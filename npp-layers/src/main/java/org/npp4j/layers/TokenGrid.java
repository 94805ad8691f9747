package org.npp4j.layers;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * The grid that a token sequence is read from in raster order, and the one place that knows which tokens make which
 * patch.
 *
 * <p>A patch of side p covers p x p neighbouring tokens. A grid that is one token high is a sequence: its patches are p
 * consecutive tokens (1 x p). Patches are numbered in raster order too. Immutable.
 */
public final class TokenGrid implements Serializable {
    private static final long serialVersionUID = 1L;

    private final int height;
    private final int width;

    private TokenGrid(int height, int width) {
        if (height < 1 || width < 1) {
            throw new IllegalArgumentException("A token grid needs at least one row and one column, got " + height
                    + " x " + width + " (height x width)");
        }
        if ((long) height * width > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("A token grid holds at most " + Integer.MAX_VALUE + " tokens, got "
                    + height + " x " + width + " (height x width)");
        }
        this.height = height;
        this.width = width;
    }

    /**
     * A grid of tokens in raster order.
     *
     * @param height rows, at least 1
     * @param width columns, at least 1
     * @return the grid
     * @throws IllegalArgumentException if a side is below 1 or the grid has more than 2^31 - 1 tokens
     */
    @JsonCreator
    public static TokenGrid of(@JsonProperty("height") int height, @JsonProperty("width") int width) {
        return new TokenGrid(height, width);
    }

    /**
     * A one-dimensional sequence, such as text: its patches are p consecutive tokens.
     *
     * @param length tokens, at least 1
     * @return the grid of one row
     * @throws IllegalArgumentException if the length is below 1
     */
    public static TokenGrid sequence(int length) {
        return new TokenGrid(1, length);
    }

    /** {@return rows} */
    public int getHeight() {
        return height;
    }

    /** {@return columns} */
    public int getWidth() {
        return width;
    }

    /** {@return tokens in the grid: height x width} */
    public int tokens() {
        return height * width;
    }

    /** {@return whether patches are 1 x p instead of p x p} */
    public boolean oneDimensional() {
        return height == 1;
    }

    /**
     * Whether patches of this side tile the grid without rest.
     *
     * @param patchSide p
     * @return true if p is at least 1 and divides the grid
     */
    public boolean isDividedBy(int patchSide) {
        return patchSide >= 1 && height % patchRows(patchSide) == 0 && width % patchSide == 0;
    }

    /**
     * Refuses a patch side that does not tile the grid.
     *
     * @param patchSide p
     * @return p
     * @throws IllegalArgumentException if p does not divide the grid; the message lists the sides that do
     */
    public int requireDividedBy(int patchSide) {
        if (!isDividedBy(patchSide)) {
            throw new IllegalArgumentException("Patch side " + patchSide + " does not divide the " + this
                    + "; sides that do: " + patchSides() + ". Choose one of them or another grid");
        }
        return patchSide;
    }

    /** {@return every patch side that tiles the grid} */
    public List<Integer> patchSides() {
        List<Integer> sides = new ArrayList<>();
        for (int p = 1; p <= width; p++) {
            if (isDividedBy(p)) {
                sides.add(p);
            }
        }
        return sides;
    }

    /**
     * Rows of tokens in a patch: p, or 1 in a one-dimensional sequence.
     *
     * @param patchSide p
     * @return rows
     */
    public int patchRows(int patchSide) {
        return oneDimensional() ? 1 : patchSide;
    }

    /**
     * Tokens in a patch: p x p, or p in a one-dimensional sequence.
     *
     * @param patchSide p
     * @return tokens
     */
    public int tokensPerPatch(int patchSide) {
        return patchRows(patchSide) * patchSide;
    }

    /**
     * The grid of patches: every patch is one token of it.
     *
     * @param patchSide p
     * @return the coarser grid
     * @throws IllegalArgumentException if p does not divide the grid
     */
    public TokenGrid ofPatches(int patchSide) {
        requireDividedBy(patchSide);
        return new TokenGrid(height / patchRows(patchSide), width / patchSide);
    }

    /**
     * The patch side that turns this grid into so many patches.
     *
     * @param patches K
     * @return p
     * @throws IllegalArgumentException if no patch side does; the message lists the lengths that are possible
     */
    public int patchSideFor(long patches) {
        List<Integer> possible = new ArrayList<>();
        for (int p : patchSides()) {
            int k = tokens() / tokensPerPatch(p);
            if (k == patches) {
                return p;
            }
            possible.add(k);
        }
        throw new IllegalArgumentException("No patch side makes " + patches + " patches of the " + this
                + "; possible numbers of patches: " + possible);
    }

    /**
     * Which patch each token belongs to.
     *
     * @param patchSide p
     * @return for every token in raster order the index of its patch in raster order
     * @throws IllegalArgumentException if p does not divide the grid
     */
    public int[] patchOfToken(int patchSide) {
        int patchesAcross = ofPatches(patchSide).width;
        int rows = patchRows(patchSide);
        int[] patch = new int[tokens()];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                patch[y * width + x] = (y / rows) * patchesAcross + x / patchSide;
            }
        }
        return patch;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TokenGrid && ((TokenGrid) other).height == height && ((TokenGrid) other).width == width;
    }

    @Override
    public int hashCode() {
        return Objects.hash(height, width);
    }

    /** The grid in words, for messages. */
    @Override
    public String toString() {
        return oneDimensional()
                ? "sequence of " + width + " tokens"
                : height + " x " + width + " token grid (height x width)";
    }
}
