package org.npp4j.arbiter;

import java.util.Objects;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Another score and the cost of training in one number: score x c^w, where c is the candidate's training operations relative
 * to next-token prediction over as many epochs, and w a weight. With w = 0 cost does not count; with w = 0.1 a candidate of
 * half the operations may score 7 % worse (2^0.1) and still draws.
 */
public final class CostWeightedScore extends CandidateScore {
    private static final long serialVersionUID = 1L;

    @JsonProperty
    private final CandidateScore score;

    @JsonProperty
    private final double weight;

    /**
     * Weighs a score.
     *
     * @param score of positive values
     * @param weight w, finite and at least 0
     * @throws IllegalArgumentException if the weight is out of its range
     */
    @JsonCreator
    public CostWeightedScore(@JsonProperty("score") CandidateScore score, @JsonProperty("weight") double weight) {
        this.score = Objects.requireNonNull(score, "There is no score to weigh");
        if (!(weight >= 0 && weight < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The weight of the cost must be finite and at least 0, got " + weight);
        }
        this.weight = weight;
    }

    @Override
    public double score(TrainedCandidate candidate) {
        return score.score(candidate) * Math.pow(candidate.cost().relativeOperations(), weight);
    }

    @Override
    public String name() {
        return score.name() + ", x relative cost ^ " + weight;
    }
}
