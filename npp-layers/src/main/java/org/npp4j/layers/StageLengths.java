package org.npp4j.layers;

import java.io.Serializable;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * The positions of each stage of a sequence that is generated stage by stage. Layers that know them take the sequence of
 * all stages, or that of a single one: its length tells which. Immutable.
 */
public final class StageLengths implements Serializable {
    private static final long serialVersionUID = 1L;

    private final int[] lengths;

    private StageLengths(int... lengths) {
        if (lengths.length == 0
                || Arrays.stream(lengths).anyMatch(length -> length < 1)
                || Arrays.stream(lengths).distinct().count() < lengths.length) {
            throw new IllegalArgumentException(
                    "There must be at least one stage, each of at least one position and of a"
                            + " length of its own, got " + Arrays.toString(lengths));
        }
        if (Arrays.stream(lengths).asLongStream().sum() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("All stages together hold at most " + Integer.MAX_VALUE
                    + " positions, got " + Arrays.toString(lengths));
        }
        this.lengths = lengths;
    }

    /**
     * The stages of a sequence.
     *
     * @param lengths positions of each stage, at least 1, no two of them equal
     * @return the stages
     * @throws IllegalArgumentException if there is none, or a length is below 1 or occurs twice
     */
    @JsonCreator
    public static StageLengths of(@JsonProperty("lengths") int... lengths) {
        return new StageLengths(lengths.clone());
    }

    /** {@return positions of each stage, a copy} */
    public int[] getLengths() {
        return lengths.clone();
    }

    /** {@return how many stages there are} */
    public int count() {
        return lengths.length;
    }

    /** {@return positions of all stages together} */
    public int positions() {
        return IntStream.of(lengths).sum();
    }

    /**
     * Positions of a stage.
     *
     * @param stage from 0
     * @return how many
     */
    public int length(int stage) {
        return lengths[stage];
    }

    /**
     * Where a stage begins in the sequence of all.
     *
     * @param stage from 0
     * @return its first position; behind the last stage the end of the sequence
     */
    public int start(int stage) {
        return IntStream.range(0, stage).map(s -> lengths[s]).sum();
    }

    /**
     * The stages of a sequence.
     *
     * @param first stage of the sequence
     * @param count how many stages
     */
    public record Run(int first, int count) {}

    /**
     * The stages of a sequence of this length: all, or one.
     *
     * @param length its positions
     * @return its stages
     * @throws IllegalArgumentException if there is no such sequence
     */
    public Run over(long length) {
        if (length == positions()) {
            return new Run(0, lengths.length);
        }
        for (int stage = 0; stage < lengths.length; stage++) {
            if (lengths[stage] == length) {
                return new Run(stage, 1);
            }
        }
        throw new IllegalArgumentException("Stages of " + Arrays.toString(lengths) + " positions make sequences of "
                + positions() + " positions, or of those of one stage, got " + length);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StageLengths && Arrays.equals(((StageLengths) other).lengths, lengths);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(lengths);
    }

    @Override
    public String toString() {
        return "stages of " + Arrays.toString(lengths) + " positions";
    }
}
