package org.npp4j.schedule;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonValue;
import org.npp4j.layers.TokenGrid;

/**
 * The stages of a training run: which patch side is trained until which epoch or iteration. Immutable.
 *
 * <p>Patch sides need neither fall nor end at 1. Sampling, however, is always next-token prediction (p = 1), so a run
 * whose last stage is coarser leaves the network untrained for the way it is used.
 *
 * <p>Written as text, for a command line or JSON: {@code 4:75,2:150,1:300} is p = 4 until epoch 75, p = 2 until epoch 150
 * and p = 1 until epoch 300. Iterations carry a suffix: {@code 2:5000it,1:10000it}.
 *
 * <p>Source: Pang et al., "Next Patch Prediction for Autoregressive Visual Generation" (arXiv 2412.15321), section 3.
 */
public final class PatchStages implements Serializable {
    private static final long serialVersionUID = 1L;

    private static final String ITERATIONS_SUFFIX = "it";
    private static final Pattern STAGE_TEXT = Pattern.compile("(\\d{1,9}):(\\d{1,9})(" + ITERATIONS_SUFFIX + ")?");
    private static final int MAX_LEVEL = 16;

    /** What the ends of the stages count. */
    public enum Unit {
        /** Epochs completed: the network's epoch counter. */
        EPOCHS,
        /** Parameter updates: the network's iteration counter. */
        ITERATIONS
    }

    /**
     * One stage.
     *
     * @param patchSide p
     * @param start first epoch or iteration of the stage
     * @param end first epoch or iteration after it
     */
    public record Stage(int patchSide, int start, int end) implements Serializable {
        /** {@return epochs or iterations in the stage} */
        public int length() {
            return end - start;
        }
    }

    private final Unit unit;
    private final List<Stage> stages;

    private PatchStages(Unit unit, List<Stage> stages) {
        if (stages.isEmpty()) {
            throw new IllegalArgumentException(
                    "A stage plan needs at least one stage. Add stage(patchSide, end) before build()");
        }
        this.unit = unit;
        this.stages = List.copyOf(stages);
    }

    /**
     * The published rule: patch sides 2^(L-1), .., 2, 1 with ends int(E r^(L-1)), .., int(E r), E epochs.
     *
     * <p>A stage that the rule leaves without an epoch (its end rounds to 0 or to the end of the stage before it) is left
     * out, so a short run may have fewer stages than its level.
     *
     * @param epochs E, epochs of the whole run, at least 1
     * @param rate r, the epoch rate, above 0 and below 1
     * @param level L, the patch level, 1 to 16; level 1 is next-token prediction throughout
     * @return the stages in epochs
     * @throws IllegalArgumentException if a number is out of its range
     */
    public static PatchStages ofEpochs(int epochs, double rate, int level) {
        if (epochs < 1) {
            throw new IllegalArgumentException("A run needs at least 1 epoch, got " + epochs);
        }
        if (!(rate > 0 && rate < 1)) {
            throw new IllegalArgumentException("The epoch rate must be above 0 and below 1, got " + rate
                    + ". It is the share of the epochs at which the last coarse stage ends; 0.5 is published");
        }
        if (level < 1 || level > MAX_LEVEL) {
            throw new IllegalArgumentException("The patch level must be 1 to " + MAX_LEVEL + ", got " + level
                    + ". Level L starts at patch side 2^(L-1); 1 is next-token prediction");
        }
        Builder builder = epochs();
        for (int i = level - 1; i >= 0; i--) {
            int end = (int) (epochs * Math.pow(rate, i));
            if (end > builder.end()) {
                builder.stage(1 << i, end);
            }
        }
        return builder.build();
    }

    /** {@return a builder of stages whose ends are epochs} */
    public static Builder epochs() {
        return new Builder(Unit.EPOCHS);
    }

    /** {@return a builder of stages whose ends are iterations (parameter updates)} */
    public static Builder iterations() {
        return new Builder(Unit.ITERATIONS);
    }

    /**
     * Reads the text form: patch side and end of every stage, such as {@code 4:75,2:150,1:300} (epochs) or {@code
     * 2:5000it,1:10000it} (iterations).
     *
     * @param text the stages
     * @return the stages
     * @throws IllegalArgumentException if the text is not of this form or the stages are not valid
     */
    @JsonCreator
    public static PatchStages parse(String text) {
        Objects.requireNonNull(text, "Patch stages are null. Write them like 4:75,2:150,1:300");
        Builder builder = null;
        for (String part : text.split(",", -1)) {
            Matcher stage = STAGE_TEXT.matcher(part.strip());
            if (!stage.matches()) {
                throw new IllegalArgumentException("Cannot read the patch stages \"" + text + "\": \"" + part
                        + "\" is not PATCH_SIDE:END. Write epochs like 4:75,2:150,1:300"
                        + " and iterations like 2:5000it,1:10000it");
            }
            Unit unit = stage.group(3) == null ? Unit.EPOCHS : Unit.ITERATIONS;
            if (builder == null) {
                builder = new Builder(unit);
            } else if (builder.unit != unit) {
                throw new IllegalArgumentException("The patch stages \"" + text
                        + "\" mix epochs and iterations. Give every end the suffix \"it\" or none");
            }
            builder.stage(Integer.parseInt(stage.group(1)), Integer.parseInt(stage.group(2)));
        }
        return builder.build();
    }

    /** {@return what the ends count} */
    public Unit unit() {
        return unit;
    }

    /** {@return the stages in order} */
    public List<Stage> stages() {
        return stages;
    }

    /** {@return epochs or iterations of the whole run: the end of the last stage} */
    public int end() {
        return stages.get(stages.size() - 1).end();
    }

    /**
     * Index of the stage that a position belongs to. Positions past the end belong to the last stage.
     *
     * @param position epoch or iteration, counted from 0
     * @return index into {@link #stages()}
     * @throws IllegalArgumentException if the position is negative
     */
    public int stageAt(int position) {
        if (position < 0) {
            throw new IllegalArgumentException("Positions in a run count from 0, got " + name(1) + " " + position);
        }
        for (int i = 0; i < stages.size(); i++) {
            if (position < stages.get(i).end()) {
                return i;
            }
        }
        return stages.size() - 1;
    }

    /**
     * Patch side to train with at a position.
     *
     * @param position epoch or iteration, counted from 0
     * @return p
     * @throws IllegalArgumentException if the position is negative
     */
    public int patchSideAt(int position) {
        return stages.get(stageAt(position)).patchSide();
    }

    /**
     * Positions that pass through the network, relative to next-token training of the same length: sum over the stages of
     * length / tokens per patch, divided by the length of the run.
     *
     * @param grid the token grid
     * @return relative token cost, 1 if every stage has p = 1
     * @throws IllegalArgumentException if a stage does not fit the grid
     */
    public double relativeTokens(TokenGrid grid) {
        requireFits(grid);
        double cost = 0;
        for (Stage stage : stages) {
            cost += (double) stage.length() / grid.tokensPerPatch(stage.patchSide());
        }
        return cost / end();
    }

    /**
     * Refuses a grid that some stage's patches do not tile.
     *
     * @param grid the token grid
     * @return these stages
     * @throws IllegalArgumentException if a patch side does not divide the grid; the message names the stage
     */
    public PatchStages requireFits(TokenGrid grid) {
        for (int i = 0; i < stages.size(); i++) {
            int p = stages.get(i).patchSide();
            if (!grid.isDividedBy(p)) {
                throw new IllegalArgumentException("Stage " + (i + 1) + " of " + stages.size() + " (" + this
                        + ") does not fit: patch side " + p + " does not divide the " + grid + "; sides that do: "
                        + grid.patchSides() + ". Change the stages or the grid");
            }
        }
        return this;
    }

    /** The unit in words, in the singular for one. */
    String name(int count) {
        String name = unit == Unit.EPOCHS ? "epoch" : "iteration";
        return count == 1 ? name : name + "s";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PatchStages that && unit == that.unit && stages.equals(that.stages);
    }

    @Override
    public int hashCode() {
        return Objects.hash(unit, stages);
    }

    /** The text form that {@link #parse} reads. */
    @JsonValue
    @Override
    public String toString() {
        List<String> texts = new ArrayList<>();
        for (Stage stage : stages) {
            texts.add(stage.patchSide() + ":" + stage.end() + (unit == Unit.ITERATIONS ? ITERATIONS_SUFFIX : ""));
        }
        return String.join(",", texts);
    }

    /** Collects stages in order. */
    public static final class Builder {
        private final Unit unit;
        private final List<Stage> stages = new ArrayList<>();

        private Builder(Unit unit) {
            this.unit = unit;
        }

        private int end() {
            return stages.isEmpty() ? 0 : stages.get(stages.size() - 1).end();
        }

        /**
         * Adds a stage that starts where the one before it ends.
         *
         * @param patchSide p, at least 1
         * @param end first epoch or iteration after the stage, above that of the stage before
         * @return this
         * @throws IllegalArgumentException if the patch side is below 1 or the end does not increase
         */
        public Builder stage(int patchSide, int end) {
            if (patchSide < 1) {
                throw new IllegalArgumentException("Stage " + (stages.size() + 1)
                        + ": the patch side must be at least 1, got " + patchSide + ". 1 is next-token prediction");
            }
            if (end <= end()) {
                throw new IllegalArgumentException("Stage " + (stages.size() + 1) + " (patch side " + patchSide
                        + ") ends at " + end + ", but must end after " + end()
                        + (stages.isEmpty() ? "" : ", the end of the stage before it")
                        + ". Ends count from the start of the run");
            }
            stages.add(new Stage(patchSide, end(), end));
            return this;
        }

        /**
         * The stages.
         *
         * @return an immutable list of stages
         * @throws IllegalArgumentException if there is none
         */
        public PatchStages build() {
            return new PatchStages(unit, stages);
        }
    }
}
