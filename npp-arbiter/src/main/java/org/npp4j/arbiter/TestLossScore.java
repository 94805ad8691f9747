package org.npp4j.arbiter;

/**
 * The negative log-likelihood of the test images at p = 1, in nats per token: the mean over images and tokens of -ln P(token |
 * class, tokens before it). The one score that every patch plan is judged by alike.
 */
public final class TestLossScore extends CandidateScore {
    private static final long serialVersionUID = 1L;

    /** The score. */
    public TestLossScore() {}

    @Override
    public double score(TrainedCandidate candidate) {
        return candidate
                .testLoss()
                .orElseThrow(() -> new IllegalStateException(
                        "There are no test images to score candidates on. Give the trainers test data"));
    }

    @Override
    public String name() {
        return "test loss, nats per token";
    }
}
