package org.npp4j.losses;

import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.nd4j.evaluation.BaseEvaluation;
import org.nd4j.evaluation.IEvaluation;
import org.nd4j.evaluation.IMetric;
import org.nd4j.linalg.activations.impl.ActivationSoftmax;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchLosses;
import org.npp4j.losses.impl.PatchOutputLayerImpl;
import org.npp4j.losses.impl.PatchTargets;
import org.npp4j.losses.impl.RowOrder;

/**
 * How well a network predicts the tokens of the next patch, for each patch side: cross-entropy, perplexity, top-1 and
 * top-5. Stock {@code evaluate()} cannot take labels that are longer than the predictions.
 *
 * <ul>
 *   <li>cross-entropy: mean over all counted tokens of -log(probability of the token), in nats per token
 *   <li>perplexity: exp(cross-entropy)
 *   <li>top-1: of all pairs (position, counted token of its patch) the share in which the token is the position's most
 *       probable one. A position has one prediction for all its tokens, so that 1 is within reach only if the tokens of
 *       a patch are equal; compare only figures of the same patch side
 *   <li>top-5: the share in which the token is one of the position's five most probable ones
 * </ul>
 *
 * <p>Among equal predictions the smaller id comes first. Figures are kept apart by patch side, which follows from the
 * shapes; {@link #getValue} is over all of them.
 *
 * <p>Predictions are [B, K, V] (NWC) or [B, V, K] (NCW), or [B x K, V] in time-major rows as a stock OutputLayer gives
 * them; labels and masks as for {@link PatchCrossEntropy}.
 *
 * <pre>{@code
 * PatchEvaluation evaluation = PatchEvaluation.of(network);
 * network.doEvaluation(iterator, evaluation);
 * System.out.println(evaluation.stats());
 * }</pre>
 */
public class PatchEvaluation extends BaseEvaluation<PatchEvaluation> {
    private static final long serialVersionUID = 1L;

    /** What the predictions are. */
    public enum Predictions {
        /** Logits: the output of a layer with the IDENTITY activation. */
        LOGITS,
        /**
         * Probabilities: the output of a layer with the SOFTMAX activation. Those below the smallest normal float count
         * as that, 87.3 nats.
         */
        PROBABILITIES
    }

    /** The figures, over all patch sides together, for {@link #getValue}. */
    public enum Metric implements IMetric {
        /** Nats per token. */
        CROSS_ENTROPY,
        /** exp(cross-entropy). */
        PERPLEXITY,
        /** Share of tokens that are the most probable one of their position. */
        TOP_1,
        /** Share of tokens that are one of the five most probable ones of their position. */
        TOP_5;

        @Override
        public Class<? extends IEvaluation<?>> getEvaluationClass() {
            return PatchEvaluation.class;
        }

        @Override
        public boolean minimize() {
            return this == CROSS_ENTROPY || this == PERPLEXITY;
        }
    }

    private final TokenGrid grid;
    private final Predictions predictions;
    private final RNNFormat format;
    private final TreeMap<Integer, Tally> bySide;

    /**
     * For logits in NWC.
     *
     * @param grid the token grid, or null if patches are runs of consecutive tokens
     */
    public PatchEvaluation(TokenGrid grid) {
        this(grid, Predictions.LOGITS, RNNFormat.NWC);
    }

    /**
     * For logits or probabilities in either data format.
     *
     * @param grid the token grid, or null if patches are runs of consecutive tokens
     * @param predictions what the predictions are
     * @param format order of the axes of predictions of rank 3
     */
    public PatchEvaluation(TokenGrid grid, Predictions predictions, RNNFormat format) {
        this(grid, predictions, format, null);
    }

    @JsonCreator
    private PatchEvaluation(
            @JsonProperty("grid") TokenGrid grid,
            @JsonProperty("predictions") Predictions predictions,
            @JsonProperty("format") RNNFormat format,
            @JsonProperty("bySide") TreeMap<Integer, Tally> bySide) {
        this.grid = grid;
        this.predictions = Objects.requireNonNull(predictions, "Say what the predictions are: LOGITS or PROBABILITIES");
        this.format = Objects.requireNonNull(format, "Say how the predictions are laid out: NWC or NCW");
        this.bySide = bySide == null ? new TreeMap<>() : bySide;
    }

    /**
     * An evaluation that fits a network: grid, activation and data format are those of its output layer.
     *
     * @param network a ComputationGraph or MultiLayerNetwork with exactly one PatchOutputLayer
     * @return the evaluation, without data
     * @throws IllegalArgumentException if the network has none or several
     */
    public static PatchEvaluation of(Model network) {
        PatchOutputLayer layer = PatchOutputLayerImpl.only(network, PatchOutputLayer.layers(network))
                .layerConf();
        return new PatchEvaluation(
                layer.grid(),
                layer.getActivationFn() instanceof ActivationSoftmax ? Predictions.PROBABILITIES : Predictions.LOGITS,
                layer.getDataFormat() == RNNFormat.NCW ? RNNFormat.NCW : RNNFormat.NWC);
    }

    @Override
    public void eval(
            INDArray labels,
            INDArray networkPredictions,
            INDArray maskArray,
            List<? extends Serializable> recordMetaData) {
        INDArray rows = rows(networkPredictions);
        RowOrder order = networkPredictions.rank() == 2 ? RowOrder.TIME_MAJOR : RowOrder.BATCH_MAJOR;
        PatchTargets targets = new PatchTargets(labels, maskArray, grid, rows.size(0), rows.size(1), order);
        PatchLosses losses =
                predictions == Predictions.LOGITS ? targets.losses(rows) : targets.lossesOfProbabilities(rows);

        Tally tally = bySide.computeIfAbsent(targets.patchSide(), side -> new Tally());
        tally.tokens += targets.counted();
        tally.nats += losses.sum();
        int[][] best = targets.best(rows, 5);
        for (int row = 0; row < best.length; row++) {
            for (int rank = 0; rank < best[row].length; rank++) {
                int hits = targets.count(row, best[row][rank]);
                tally.top1 += rank == 0 ? hits : 0;
                tally.top5 += hits;
            }
        }
    }

    /** [B, K, V], [B, V, K] or [R, V] to [R, V]. */
    private INDArray rows(INDArray networkPredictions) {
        if (networkPredictions.rank() == 2) {
            return networkPredictions;
        }
        if (networkPredictions.rank() != 3) {
            throw new IllegalArgumentException("PatchEvaluation expects predictions [batch, positions, vocabulary]"
                    + " (NWC), [batch, vocabulary, positions] (NCW) or [batch x positions, vocabulary], got "
                    + Arrays.toString(networkPredictions.shape()));
        }
        INDArray sequence = format == RNNFormat.NWC ? networkPredictions : networkPredictions.permute(0, 2, 1);
        return sequence.reshape('c', sequence.size(0) * sequence.size(1), sequence.size(2));
    }

    /** The same as {@link #eval(INDArray, INDArray, INDArray)}: all predictions here are sequences. */
    @Override
    @SuppressWarnings("deprecation")
    public void evalTimeSeries(INDArray labels, INDArray predicted, INDArray labelsMask) {
        eval(labels, predicted, labelsMask);
    }

    /** {@return the patch sides that were seen, in ascending order} */
    public Set<Integer> patchSides() {
        return Set.copyOf(bySide.keySet());
    }

    /**
     * Tokens that counted at one patch side.
     *
     * @param patchSide p
     * @return tokens, 0 if none was seen
     */
    public long tokens(int patchSide) {
        Tally tally = bySide.get(patchSide);
        return tally == null ? 0 : tally.tokens;
    }

    /**
     * A figure at one patch side.
     *
     * @param metric which one
     * @param patchSide p
     * @return its value, NaN if no token was seen at this patch side
     */
    public double getValue(Metric metric, int patchSide) {
        return figure(metric).applyAsDouble(bySide.getOrDefault(patchSide, new Tally()));
    }

    /** The figure over all patch sides; NaN if no token was seen. */
    @Override
    public double getValue(IMetric metric) {
        if (!(metric instanceof Metric)) {
            throw new IllegalArgumentException("PatchEvaluation has the metrics " + Arrays.toString(Metric.values())
                    + ", got " + metric + ". Use PatchEvaluation.Metric");
        }
        return figure((Metric) metric).applyAsDouble(total());
    }

    private static ToDoubleFunction<Tally> figure(Metric metric) {
        switch (metric) {
            case CROSS_ENTROPY:
                return tally -> tally.nats / tally.tokens;
            case PERPLEXITY:
                return tally -> Math.exp(tally.nats / tally.tokens);
            case TOP_1:
                return tally -> (double) tally.top1 / tally.tokens;
            case TOP_5:
                return tally -> (double) tally.top5 / tally.tokens;
            default:
                throw new IllegalArgumentException("Unknown metric " + metric);
        }
    }

    private Tally total() {
        Tally total = new Tally();
        bySide.values().forEach(total::add);
        return total;
    }

    @Override
    public void merge(PatchEvaluation other) {
        if (!Objects.equals(grid, other.grid)) {
            throw new IllegalArgumentException("Evaluations of different grids do not add up: " + grid + " and "
                    + other.grid + ". Merge evaluations of the same network");
        }
        other.bySide.forEach(
                (side, tally) -> bySide.computeIfAbsent(side, s -> new Tally()).add(tally));
    }

    @Override
    public void reset() {
        bySide.clear();
    }

    @Override
    public PatchEvaluation newInstance() {
        return new PatchEvaluation(grid, predictions, format);
    }

    /** A table with one line for each patch side, and one for all if there are several. */
    @Override
    public String stats() {
        StringBuilder table = new StringBuilder();
        table.append("patch side      tokens  cross-entropy   perplexity   top-1   top-5\n");
        for (Map.Entry<Integer, Tally> side : bySide.entrySet()) {
            line(table, side.getKey().toString(), side.getValue());
        }
        if (bySide.size() != 1) {
            line(table, "all", total());
        }
        return table.toString();
    }

    private static void line(StringBuilder table, String name, Tally tally) {
        table.append(String.format(
                Locale.ROOT,
                "%10s  %10d  %13.4f  %11.2f  %6.4f  %6.4f%n",
                name,
                tally.tokens,
                figure(Metric.CROSS_ENTROPY).applyAsDouble(tally),
                figure(Metric.PERPLEXITY).applyAsDouble(tally),
                figure(Metric.TOP_1).applyAsDouble(tally),
                figure(Metric.TOP_5).applyAsDouble(tally)));
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof PatchEvaluation)) {
            return false;
        }
        PatchEvaluation that = (PatchEvaluation) other;
        return Objects.equals(grid, that.grid)
                && predictions == that.predictions
                && format == that.format
                && bySide.equals(that.bySide);
    }

    @Override
    protected boolean canEqual(Object other) {
        return other instanceof PatchEvaluation;
    }

    @Override
    public int hashCode() {
        return Objects.hash(grid, predictions, format);
    }

    /** Sums over the tokens seen at one patch side. */
    private static final class Tally implements Serializable {
        private static final long serialVersionUID = 1L;

        private long tokens;
        private double nats;
        private long top1;
        private long top5;

        private void add(Tally other) {
            tokens += other.tokens;
            nats += other.nats;
            top1 += other.top1;
            top5 += other.top5;
        }

        @Override
        public boolean equals(Object other) {
            if (!(other instanceof Tally)) {
                return false;
            }
            Tally that = (Tally) other;
            return tokens == that.tokens && nats == that.nats && top1 == that.top1 && top5 == that.top5;
        }

        @Override
        public int hashCode() {
            return Objects.hash(tokens, nats, top1, top5);
        }
    }
}
