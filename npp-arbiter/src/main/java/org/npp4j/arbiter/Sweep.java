package org.npp4j.arbiter;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import org.apache.commons.math3.random.JDKRandomGenerator;
import org.apache.commons.math3.random.RandomGenerator;
import org.deeplearning4j.arbiter.optimize.api.CandidateGenerator;
import org.deeplearning4j.arbiter.optimize.api.termination.TerminationCondition;
import org.deeplearning4j.arbiter.optimize.config.OptimizationConfiguration;
import org.deeplearning4j.arbiter.optimize.generator.GeneticSearchCandidateGenerator;
import org.deeplearning4j.arbiter.optimize.generator.GridSearchCandidateGenerator;
import org.deeplearning4j.arbiter.optimize.generator.RandomSearchGenerator;
import org.deeplearning4j.arbiter.optimize.generator.genetic.crossover.SinglePointCrossover;
import org.deeplearning4j.arbiter.optimize.generator.genetic.crossover.parentselection.RandomTwoParentSelection;
import org.deeplearning4j.arbiter.optimize.generator.genetic.mutation.RandomMutationOperator;
import org.deeplearning4j.arbiter.optimize.generator.genetic.population.PopulationModel;
import org.deeplearning4j.arbiter.optimize.generator.genetic.selection.GeneticSelectionOperator;
import org.deeplearning4j.arbiter.optimize.runner.IOptimizationRunner;
import org.deeplearning4j.arbiter.optimize.runner.LocalOptimizationRunner;
import org.deeplearning4j.arbiter.optimize.runner.listener.StatusListener;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.TrainingCost;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A search over patch plans with Arbiter.
 *
 * <pre>{@code
 * Sweep sweep = new Sweep.Builder(space, plan, trainers, folder)
 *         .generator(Sweep.Generator.GRID)
 *         .score(new TestLossScore())
 *         .build();
 * List<CandidateResult> results = sweep.run();
 * Sweep.best(results);
 * ParetoFront.of(results);   // score against training operations
 * }</pre>
 *
 * <p>A sweep that was stopped or killed goes on when it is run again with the same folder: finished candidates are not
 * repeated, one that was being trained goes on at its newest checkpoint, and the order of proposals depends on the seed alone.
 * Its space, generator and budget may be others then: results belong to plans, not to numbers. The training plan, the data and
 * the score must be the same.
 *
 * <p>Proposals that are equal plans are trained once. A grid ends when it is exhausted, which Arbiter's own runner does not
 * notice.
 */
public final class Sweep {
    private static final Logger log = LoggerFactory.getLogger(Sweep.class);
    private static final String LOCK = ".lock";
    private static final double MUTATION = 0.2;

    /** How candidates are chosen. */
    public enum Generator {
        /** Every combination; of a continuous parameter so many values as {@link Builder#gridValues} says. */
        GRID,
        /** At random. */
        RANDOM,
        /** At random first; then from the best so far by crossover and mutation. */
        GENETIC;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private final PatchPlanSpace space;
    private final TrainingPlan plan;
    private final TrainerSource source;
    private final SweepFolder folder;
    private final Generator generator;
    private final CandidateScore score;
    private final int candidates;
    private final int gridValues;
    private final int parallel;
    private final long seed;
    private final Duration budget;
    private final Duration checkpointEvery;
    private final boolean retryFailed;
    private final Map<String, String> data;
    private final Map<String, String> versions;
    private final List<StatusListener> statusListeners;

    private final Map<PatchPlan, CandidateResult> known = new LinkedHashMap<>();
    private final PatchPlanTaskCreator tasks;
    private final PlanCandidates proposals;

    private Sweep(Builder builder) throws IOException {
        space = builder.space;
        plan = builder.plan;
        source = builder.source;
        folder = new SweepFolder(builder.folder);
        generator = builder.generator;
        score = builder.score;
        candidates = builder.candidates;
        gridValues = builder.gridValues;
        parallel = builder.parallel;
        seed = builder.seed;
        budget = builder.budget;
        checkpointEvery = builder.checkpointEvery;
        retryFailed = builder.retryFailed;
        data = Map.copyOf(builder.data);
        versions = Map.copyOf(builder.versions);
        statusListeners = List.copyOf(builder.statusListeners);
        folder.requireSame(plan, data, score.name());
        for (CandidateResult result : folder.results()) {
            if (!(retryFailed && result.status() == CandidateResult.Status.FAILED)) {
                known.put(result.plan(), result);
            }
        }
        List<SweepListener> all = new ArrayList<>();
        // first: who is told of a result finds it among the results
        all.add(new Recorder());
        all.addAll(builder.listeners);
        tasks = new PatchPlanTaskCreator(plan, source, folder, checkpointEvery, all);
        proposals = new PlanCandidates(newGenerator(), candidates, this::finished);
    }

    private CandidateGenerator newGenerator() {
        return switch (generator) {
                // the random order of Arbiter's grid cannot be seeded
            case GRID -> new GridSearchCandidateGenerator(
                    space, gridValues, GridSearchCandidateGenerator.Mode.Sequential, null);
            case RANDOM -> {
                RandomSearchGenerator random = new RandomSearchGenerator(space);
                random.setRngSeed(seed);
                yield random;
            }
            case GENETIC -> genetic();
        };
    }

    private CandidateGenerator genetic() {
        RandomGenerator random = new JDKRandomGenerator();
        random.setSeed(seed);
        // two thirds of a population are drawn at random before the first are bred
        int population = Math.max(4, candidates / 3);
        return new GeneticSearchCandidateGenerator.Builder(space, score)
                .populationModel(
                        new PopulationModel.Builder().populationSize(population).build())
                .selectionOperator(new GeneticSelectionOperator.Builder()
                        .randomGenerator(random)
                        .crossoverOperator(new SinglePointCrossover.Builder()
                                // always: without a crossover Arbiter mutates the parent's own genes
                                .crossoverRate(1)
                                .randomGenerator(random)
                                .parentSelection(new RandomTwoParentSelection(random))
                                .build())
                        .mutationOperator(new RandomMutationOperator.Builder()
                                .mutationRate(MUTATION)
                                .randomGenerator(random)
                                .build())
                        .build())
                .build();
    }

    private synchronized OptionalDouble finished(PatchPlan each) {
        CandidateResult result = known.get(each);
        return result == null || result.status() == CandidateResult.Status.STOPPED ? null : result.score();
    }

    /** {@return the plans it chooses from} */
    public PatchPlanSpace space() {
        return space;
    }

    /** {@return the training plan of which candidates change something} */
    public TrainingPlan plan() {
        return plan;
    }

    /** {@return how candidates are chosen} */
    public Generator generator() {
        return generator;
    }

    /** {@return what is compared} */
    public CandidateScore score() {
        return score;
    }

    /** {@return seed of random proposals} */
    public long seed() {
        return seed;
    }

    /** {@return what describes the data} */
    public Map<String, String> data() {
        return data;
    }

    Map<String, String> versions() {
        return versions;
    }

    /** {@return the folder of the results} */
    public Path folder() {
        return folder.folder();
    }

    /** {@return when it ends, in words} */
    public String end() {
        return "no candidates left"
                + (candidates == Integer.MAX_VALUE ? "" : ", or " + candidates + " different plans")
                + (budget == null
                        ? ""
                        : ", or " + budget.toString().substring(2).toLowerCase(Locale.ROOT) + " over");
    }

    /** {@return what is known so far: candidates of this and of earlier runs in this folder, in the order of proposal} */
    public synchronized List<CandidateResult> results() {
        Map<PatchPlan, Integer> order = new HashMap<>(proposals.proposed());
        return known.values().stream()
                .map(result -> result.withIndex(order.getOrDefault(result.plan(), -1)))
                .sorted(Comparator.comparingInt(
                                (CandidateResult result) -> result.index() < 0 ? Integer.MAX_VALUE : result.index())
                        .thenComparing(result -> result.plan().name()))
                .toList();
    }

    /**
     * The best of some results.
     *
     * @param results of a sweep
     * @return the one with the lowest score, if any has one
     */
    public static Optional<CandidateResult> best(List<CandidateResult> results) {
        return results.stream()
                .filter(result -> result.score().isPresent())
                .min(Comparator.comparingDouble(result -> result.score().getAsDouble()));
    }

    /**
     * The plans of a grid that are not finished, in their order.
     *
     * @return the plans; empty for the other generators, which decide as they go
     */
    public List<PatchPlan> plansLeft() {
        if (generator != Generator.GRID) {
            return List.of();
        }
        List<PatchPlan> left = new ArrayList<>();
        PlanCandidates all = new PlanCandidates(newGenerator(), candidates, this::finished);
        while (all.hasMoreCandidates()) {
            left.add(all.getCandidate().getValue());
        }
        return left;
    }

    /**
     * What a candidate will cost; nothing of the model's size is allocated.
     *
     * @param candidate a plan of the space
     * @param batchesPerEpoch steps of an epoch
     * @return the cost
     */
    public TrainingCost costOf(PatchPlan candidate, int batchesPerEpoch) {
        return PatchPlanTaskCreator.cost(candidate.applyTo(plan), batchesPerEpoch);
    }

    /** Ends the sweep: what is being trained stops after the step at hand, with a checkpoint. From any thread. */
    public void stop() {
        proposals.stop();
        tasks.stop();
    }

    /**
     * Trains candidates until there are enough, no more, or the time is over.
     *
     * @return {@link #results}
     * @throws IOException if results cannot be written
     * @throws IllegalStateException if another process runs a sweep in this folder
     */
    public List<CandidateResult> run() throws IOException {
        try (FileChannel channel = FileChannel.open(
                        folder.folder().resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock lock = tryLock(channel)) {
            if (lock == null) {
                throw new IllegalStateException("Another process runs a sweep in " + folder.folder()
                        + ". Wait for it, or choose another folder");
            }
            folder.summarize(this, results());
            OptimizationConfiguration configuration = new OptimizationConfiguration.Builder()
                    .candidateGenerator(proposals)
                    .scoreFunction(score)
                    .terminationConditions(new Over(this, budget))
                    .build();
            LocalOptimizationRunner runner = new LocalOptimizationRunner(parallel, configuration, tasks);
            runner.addListeners(statusListeners.toArray(StatusListener[]::new));
            proposals.drawUnless(() -> runner.numCandidatesQueued() >= parallel);
            runner.execute();
            List<CandidateResult> all = results();
            folder.summarize(this, all);
            return all;
        }
    }

    private static FileLock tryLock(FileChannel channel) throws IOException {
        try {
            return channel.tryLock();
        } catch (OverlappingFileLockException e) {
            // held by this very process
            return null;
        }
    }

    /** Keeps what became of each candidate. */
    private final class Recorder implements SweepListener {
        @Override
        public void onEnd(CandidateResult result) {
            synchronized (Sweep.this) {
                known.put(result.plan(), result);
                try {
                    folder.summarize(Sweep.this, results());
                } catch (IOException e) {
                    // the candidate's own file is there: nothing is lost
                    log.error("Cannot write the summary: {}", e.getMessage(), e);
                }
            }
        }
    }

    /** No candidates are left and none is being trained; or the time is over, and then what is being trained is stopped. */
    private static final class Over implements TerminationCondition {
        private final Sweep sweep;
        private final Duration budget;
        private long start;

        Over(Sweep sweep, Duration budget) {
            this.sweep = sweep;
            this.budget = budget;
        }

        @Override
        public void initialize(IOptimizationRunner runner) {
            start = System.nanoTime();
        }

        @Override
        public boolean terminate(IOptimizationRunner runner) {
            if (budget != null && System.nanoTime() - start >= budget.toNanos()) {
                sweep.stop();
            }
            return !sweep.proposals.hasMoreCandidates() && runner.numCandidatesQueued() == 0;
        }

        @Override
        public String toString() {
            return sweep.end();
        }
    }

    /** Settings of a sweep. */
    public static final class Builder {
        private final PatchPlanSpace space;
        private final TrainingPlan plan;
        private final TrainerSource source;
        private final Path folder;
        private final List<SweepListener> listeners = new ArrayList<>();
        private final List<StatusListener> statusListeners = new ArrayList<>();
        private Generator generator = Generator.GRID;
        private CandidateScore score = new TestLossScore();
        private int candidates = Integer.MAX_VALUE;
        private int gridValues = 3;
        private int parallel = 1;
        private long seed;
        private Duration budget;
        private Duration checkpointEvery = Duration.ofMinutes(2);
        private boolean retryFailed;
        private Map<String, String> data = Map.of();
        private Map<String, String> versions = Map.of();

        /**
         * A sweep.
         *
         * @param space plans to choose from
         * @param plan of which a candidate changes something; its seed is that of every candidate
         * @param source of data
         * @param folder for results; what is there already is not done again
         */
        public Builder(PatchPlanSpace space, TrainingPlan plan, TrainerSource source, Path folder) {
            this.space = Objects.requireNonNull(space, "A sweep needs a space: new PatchPlanSpace.Builder(epochs)");
            this.plan = Objects.requireNonNull(plan, "A sweep needs a plan: TrainingPlan.of(spec).build()");
            this.source = Objects.requireNonNull(source, "A sweep needs something that makes trainers");
            this.folder = Objects.requireNonNull(folder, "A sweep needs a folder");
        }

        /**
         * How candidates are chosen. Default: GRID.
         *
         * @param generator of candidates
         * @return this
         */
        public Builder generator(Generator generator) {
            this.generator = Objects.requireNonNull(generator, "The generator is null");
            return this;
        }

        /**
         * What is compared. Default: {@link TestLossScore}.
         *
         * @param score lower is better
         * @return this
         */
        public Builder score(CandidateScore score) {
            this.score = Objects.requireNonNull(score, "The score is null");
            return this;
        }

        /**
         * How many different plans at most, those of earlier runs included. Default: all there are, which only a grid and
         * discrete parameters bound.
         *
         * @param candidates at least 1
         * @return this
         * @throws IllegalArgumentException if there are none
         */
        public Builder candidates(int candidates) {
            this.candidates = atLeastOne("candidate", candidates);
            return this;
        }

        /**
         * Values of a continuous parameter in a grid. Default: 3.
         *
         * @param gridValues at least 1
         * @return this
         * @throws IllegalArgumentException if there are none
         */
        public Builder gridValues(int gridValues) {
            this.gridValues = atLeastOne("value of each parameter", gridValues);
            return this;
        }

        /**
         * Candidates that are trained at the same time, each in a thread of its own; Deeplearning4j spreads threads over the
         * GPUs. Default: 1, which suits one GPU, and processors, whose cores one candidate uses already.
         *
         * @param parallel at least 1
         * @return this
         * @throws IllegalArgumentException if there are none
         */
        public Builder parallel(int parallel) {
            this.parallel = atLeastOne("candidate at a time", parallel);
            return this;
        }

        /**
         * Seed of random proposals. Default: 0.
         *
         * @param seed any number
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /**
         * Time after which the sweep ends; what is being trained stops with a checkpoint. Default: none.
         *
         * @param budget above zero
         * @return this
         * @throws IllegalArgumentException if it is not
         */
        public Builder budget(Duration budget) {
            if (budget.isZero() || budget.isNegative()) {
                throw new IllegalArgumentException("The budget must be a time above zero, got " + budget);
            }
            this.budget = budget;
            return this;
        }

        /**
         * Time between two checkpoints of a candidate: what a kill loses at most. Default: two minutes.
         *
         * @param checkpointEvery zero for none on the way
         * @return this
         */
        public Builder checkpointEvery(Duration checkpointEvery) {
            this.checkpointEvery = Objects.requireNonNull(checkpointEvery, "The time is null");
            return this;
        }

        /**
         * Whether candidates that failed in an earlier run are trained again. Default: no.
         *
         * @param retryFailed whether
         * @return this
         */
        public Builder retryFailed(boolean retryFailed) {
            this.retryFailed = retryFailed;
            return this;
        }

        /**
         * Describes the data: a sweep goes on only with the same.
         *
         * @param description name to value
         * @return this
         */
        public Builder dataDescription(Map<String, String> description) {
            data = Objects.requireNonNull(description, "The description of the data is null");
            return this;
        }

        /**
         * Versions to note in the summary.
         *
         * @param versions name to version
         * @return this
         */
        public Builder versions(Map<String, String> versions) {
            this.versions = Objects.requireNonNull(versions, "The versions are null");
            return this;
        }

        /**
         * Adds a listener.
         *
         * @param listener told of every candidate and step
         * @return this
         */
        public Builder listener(SweepListener listener) {
            listeners.add(Objects.requireNonNull(listener, "The listener is null"));
            return this;
        }

        /**
         * Adds a listener of Arbiter, such as that of its UI.
         *
         * @param listener told of every candidate
         * @return this
         */
        public Builder statusListener(StatusListener listener) {
            statusListeners.add(Objects.requireNonNull(listener, "The listener is null"));
            return this;
        }

        private static int atLeastOne(String what, int number) {
            if (number < 1) {
                throw new IllegalArgumentException("There must be at least 1 " + what + ", got " + number);
            }
            return number;
        }

        /**
         * The sweep.
         *
         * @return the sweep, not begun
         * @throws IOException if the folder cannot be made or read
         * @throws IllegalArgumentException if a random or genetic search has no number of candidates and no budget
         * @throws IllegalStateException if the folder holds a sweep of another training plan, other data or another score
         */
        public Sweep build() throws IOException {
            if (generator != Generator.GRID && candidates == Integer.MAX_VALUE && budget == null) {
                throw new IllegalArgumentException("A " + generator
                        + " search has no end of its own. Give a number of candidates, or a budget of time");
            }
            if (generator == Generator.GENETIC && candidates == Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        "A genetic search needs a number of candidates: its populations are" + " a third of them");
            }
            return new Sweep(this);
        }
    }
}
