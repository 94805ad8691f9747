package org.npp4j.arbiter;

import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.deeplearning4j.arbiter.optimize.api.data.DataProvider;
import org.deeplearning4j.arbiter.optimize.api.data.DataSource;
import org.deeplearning4j.arbiter.optimize.api.score.ScoreFunction;

/**
 * How good a trained candidate is: Arbiter's {@link ScoreFunction} without the data, which a candidate's training has
 * already. Lower is better.
 */
public abstract class CandidateScore implements ScoreFunction {
    private static final long serialVersionUID = 1L;

    /** For subclasses. */
    protected CandidateScore() {}

    /**
     * Scores a candidate.
     *
     * @param candidate whose training is over
     * @return its score, lower is better
     * @throws IllegalStateException if it has not what this score needs; the candidate then counts as failed
     */
    public abstract double score(TrainedCandidate candidate);

    /** {@return what the score is, with its unit, such as "test loss, nats per token"} */
    public abstract String name();

    @Override
    public final double score(Object model, Class<? extends DataSource> dataSource, Properties properties) {
        return score(candidate(model));
    }

    @Override
    @Deprecated
    public final double score(Object model, DataProvider data, Map<String, Object> parameters) {
        return score(candidate(model));
    }

    private static TrainedCandidate candidate(Object model) {
        if (model instanceof TrainedCandidate candidate) {
            return candidate;
        }
        throw new IllegalArgumentException("This scores a TrainedCandidate, which a PatchPlanTaskCreator trains, not "
                + (model == null ? null : model.getClass().getName()));
    }

    @Override
    public final boolean minimize() {
        return true;
    }

    @Override
    public List<Class<?>> getSupportedModelTypes() {
        return List.of(TrainedCandidate.class);
    }

    @Override
    public List<Class<?>> getSupportedDataTypes() {
        return List.of(Object.class);
    }

    @Override
    public String toString() {
        return name();
    }
}
