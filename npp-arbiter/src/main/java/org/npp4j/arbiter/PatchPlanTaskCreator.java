package org.npp4j.arbiter;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.ToDoubleFunction;
import org.deeplearning4j.arbiter.optimize.api.Candidate;
import org.deeplearning4j.arbiter.optimize.api.OptimizationResult;
import org.deeplearning4j.arbiter.optimize.api.TaskCreator;
import org.deeplearning4j.arbiter.optimize.api.data.DataProvider;
import org.deeplearning4j.arbiter.optimize.api.data.DataSource;
import org.deeplearning4j.arbiter.optimize.api.score.ScoreFunction;
import org.deeplearning4j.arbiter.optimize.runner.CandidateInfo;
import org.deeplearning4j.arbiter.optimize.runner.CandidateStatus;
import org.deeplearning4j.arbiter.optimize.runner.IOptimizationRunner;
import org.deeplearning4j.arbiter.optimize.runner.listener.StatusListener;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.training.CheckpointPolicy;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;
import org.npp4j.schedule.TrainingDivergedException;
import org.npp4j.schedule.WeightAverage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains Arbiter's candidates with this project's {@link Trainer}. Every candidate has a folder with its checkpoints: one that
 * was interrupted goes on at the newest. What fails while it is trained or scored, a loss that diverges for example, is a
 * failed candidate, and the search goes on.
 */
public final class PatchPlanTaskCreator implements TaskCreator {
    private static final Logger log = LoggerFactory.getLogger(PatchPlanTaskCreator.class);

    private final TrainingPlan plan;
    private final TrainerSource source;
    private final SweepFolder folder;
    private final Duration checkpointEvery;
    private final List<SweepListener> listeners;
    private final Set<Trainer> running = ConcurrentHashMap.newKeySet();
    private volatile boolean stopped;

    PatchPlanTaskCreator(
            TrainingPlan plan,
            TrainerSource source,
            SweepFolder folder,
            Duration checkpointEvery,
            List<SweepListener> listeners) {
        this.plan = plan;
        this.source = source;
        this.folder = folder;
        this.checkpointEvery = checkpointEvery;
        this.listeners = listeners;
    }

    /**
     * Trains candidates.
     *
     * @param plan of which a candidate changes something
     * @param source of data
     * @param folder for checkpoints and results
     * @param checkpointEvery time between two checkpoints of a candidate
     * @throws IOException if the folder cannot be made
     */
    public PatchPlanTaskCreator(TrainingPlan plan, TrainerSource source, Path folder, Duration checkpointEvery)
            throws IOException {
        this(
                Objects.requireNonNull(plan, "Candidates change something in a plan: TrainingPlan.of(spec).build()"),
                Objects.requireNonNull(source, "There is nothing that makes trainers"),
                new SweepFolder(folder),
                checkpointEvery,
                List.of());
    }

    /** Ends what is running after the step at hand, with a checkpoint, and trains nothing more. From any thread. */
    public void stop() {
        stopped = true;
        running.forEach(Trainer::stop);
    }

    @Override
    @Deprecated
    @SuppressWarnings("rawtypes") // as Arbiter declares it
    public Callable<OptimizationResult> create(
            Candidate candidate,
            DataProvider data,
            ScoreFunction score,
            List<StatusListener> statusListeners,
            IOptimizationRunner runner) {
        return create(candidate, null, null, score, statusListeners, runner);
    }

    @Override
    @SuppressWarnings("rawtypes") // as Arbiter declares it
    public Callable<OptimizationResult> create(
            Candidate candidate,
            Class<? extends DataSource> data,
            Properties properties,
            ScoreFunction score,
            List<StatusListener> statusListeners,
            IOptimizationRunner runner) {
        return () -> train(candidate, model -> score.score(model, data, properties), statusListeners, runner);
    }

    private OptimizationResult train(
            Candidate<?> candidate,
            ToDoubleFunction<TrainedCandidate> score,
            List<StatusListener> statusListeners,
            IOptimizationRunner runner) {
        long start = System.currentTimeMillis();
        PatchPlan patchPlan = (PatchPlan) candidate.getValue();
        CandidateInfo started = info(candidate, CandidateStatus.Running, null, start, null, null);
        statusListeners.forEach(listener -> listener.onCandidateStatusChange(started, runner, null));
        listeners.forEach(listener -> listener.onStart(candidate.getIndex(), patchPlan));
        CandidateResult result;
        try {
            result = train(candidate.getIndex(), patchPlan, score);
            if (result.status() != CandidateResult.Status.STOPPED) {
                folder.write(result);
            }
        } catch (TrainingDivergedException e) {
            log.warn("Candidate {} ({}) failed: {}", candidate.getIndex(), patchPlan, e.getMessage());
            result = failed(candidate.getIndex(), patchPlan, e);
        } catch (Exception | OutOfMemoryError e) {
            log.error("Candidate {} ({}) failed", candidate.getIndex(), patchPlan, e);
            result = failed(candidate.getIndex(), patchPlan, e);
        } finally {
            // the next candidate's network is as large
            Nd4j.getWorkspaceManager().destroyAllWorkspacesForCurrentThread();
            Nd4j.getMemoryManager().invokeGc();
        }
        CandidateStatus status =
                switch (result.status()) {
                    case DONE -> CandidateStatus.Complete;
                    case STOPPED -> CandidateStatus.Cancelled;
                    case FAILED -> CandidateStatus.Failed;
                };
        Double value = result.score().isPresent() ? result.score().getAsDouble() : null;
        CandidateInfo ended = info(candidate, status, value, start, System.currentTimeMillis(), result.reason());
        OptimizationResult optimized =
                new OptimizationResult(candidate, value, candidate.getIndex(), result, ended, null);
        statusListeners.forEach(listener -> listener.onCandidateStatusChange(ended, runner, optimized));
        CandidateResult last = result;
        listeners.forEach(listener -> listener.onEnd(last));
        return optimized;
    }

    private static CandidateInfo info(
            Candidate<?> candidate, CandidateStatus status, Double score, long start, Long end, String reason) {
        return new CandidateInfo(
                candidate.getIndex(), status, score, start, start, end, candidate.getFlatParameters(), reason);
    }

    private CandidateResult failed(int index, PatchPlan patchPlan, Throwable e) {
        CandidateResult result = new CandidateResult(
                index,
                patchPlan,
                CandidateResult.Status.FAILED,
                OptionalDouble.empty(),
                OptionalDouble.empty(),
                0,
                0,
                0,
                e.getMessage() == null ? e.toString() : e.getMessage(),
                now());
        try {
            folder.write(result);
        } catch (IOException written) {
            log.error("Cannot write the result of candidate {}: {}", index, written.getMessage(), written);
        }
        return result;
    }

    private static String now() {
        return Instant.now().truncatedTo(ChronoUnit.SECONDS).toString();
    }

    private CandidateResult train(int index, PatchPlan patchPlan, ToDoubleFunction<TrainedCandidate> score)
            throws IOException {
        TrainingPlan candidatePlan = patchPlan.applyTo(plan);
        LastLoss losses = new LastLoss();
        Trainer.Builder builder = source.prepare(candidatePlan)
                .checkpoints(new CheckpointPolicy(folder.checkpoints(patchPlan), 0, checkpointEvery, 1, false))
                .observer(losses)
                .observer(new Steps(index, patchPlan));
        folder.checkpoint(patchPlan).ifPresent(builder::resume);
        Trainer trainer = builder.build();
        running.add(trainer);
        try {
            if (stopped) {
                trainer.stop();
            }
            trainer.run();
        } finally {
            running.remove(trainer);
        }
        TrainingCost cost = cost(candidatePlan, trainer.batchesPerEpoch());
        boolean whole = trainer.step() == trainer.totalSteps();
        OptionalDouble value = OptionalDouble.empty();
        if (whole) {
            value = OptionalDouble.of(score(trainer, patchPlan, candidatePlan, losses.test(), cost, score));
        }
        return new CandidateResult(
                index,
                patchPlan,
                whole ? CandidateResult.Status.DONE : CandidateResult.Status.STOPPED,
                value,
                losses.test(),
                trainer.seconds(),
                cost.gflop(),
                cost.relativeOperations(),
                "",
                now());
    }

    private static double score(
            Trainer trainer,
            PatchPlan patchPlan,
            TrainingPlan candidatePlan,
            OptionalDouble testLoss,
            TrainingCost cost,
            ToDoubleFunction<TrainedCandidate> score) {
        TrainedCandidate trained =
                new TrainedCandidate(patchPlan, candidatePlan, trainer.network(), testLoss, cost, trainer.seconds());
        try (WeightAverage.Swap ignored = trainer.average()
                .map(average -> average.applyTo(trainer.network()))
                .orElse(null)) {
            double value = score.applyAsDouble(trained);
            if (Double.isNaN(value)) {
                throw new IllegalStateException("The score is not a number");
            }
            return value;
        }
    }

    /** The operations of a plan; nothing of the model's size is allocated. */
    static TrainingCost cost(TrainingPlan plan, int batchesPerEpoch) {
        long unit = plan.stages().unit() == PatchStages.Unit.EPOCHS
                ? (long) batchesPerEpoch * plan.batchSize()
                : plan.batchSize();
        return TrainingCost.of(plan.network(batchesPerEpoch).build(), plan.stages(), unit);
    }

    /** The test loss of the last checkpoint: of the moving average if there is one. */
    private static final class LastLoss implements TrainingObserver {
        private OptionalDouble test = OptionalDouble.empty();

        @Override
        public void onCheckpoint(Trainer trainer, TrainingCheckpoint checkpoint) {
            test = checkpoint.averageTestLoss().isPresent() ? checkpoint.averageTestLoss() : checkpoint.testLoss();
        }

        OptionalDouble test() {
            return test;
        }
    }

    /** Passes the steps on. */
    private final class Steps implements TrainingObserver {
        private final int index;
        private final PatchPlan patchPlan;

        Steps(int index, PatchPlan patchPlan) {
            this.index = index;
            this.patchPlan = patchPlan;
        }

        @Override
        public void onStep(Trainer trainer, TrainingStep step) {
            listeners.forEach(listener -> listener.onStep(index, patchPlan, trainer, step));
        }
    }
}
