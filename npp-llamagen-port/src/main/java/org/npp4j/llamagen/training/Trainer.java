package org.npp4j.llamagen.training;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.updater.graph.ComputationGraphUpdater;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.schedule.DivergenceGuard;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingDivergedException;
import org.npp4j.schedule.WeightAverage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a network by a plan: the loop. The plan of a GPT is a {@link TrainingPlan}.
 *
 * <pre>{@code
 * Trainer trainer = new Trainer.Builder(plan, batches)
 *         .checkpoints(CheckpointPolicy.in(folder))
 *         .build();
 * trainer.run();
 * GptCheckpoint.write(file, trainer.network());
 * }</pre>
 *
 * <p>Every step: the random numbers are set from seed and step; the batch is computed in parts of {@code microBatch} images
 * whose gradients are added up; the gradient is checked (NaN, infinity, explosion) and clipped; AdamW moves the weights;
 * the moving average follows. Stages switch between steps.
 *
 * <p>A run of N steps, and one of k steps, another process, and N - k steps, end in the same weights to the bit on the same
 * backend and number of threads, wherever k is: {@link Builder#resume}.
 *
 * <p>{@link #run} blocks; {@link #stop} ends it from any thread, after the step at hand and with a checkpoint.
 * Deeplearning4j's listeners see iterations and epochs as in {@code fit(iterator)}; with parts, {@code model.batchSize()} is
 * that of the last part.
 *
 * <p>Several workers can share each batch: {@link Builder#workers}. A cluster can: {@link Builder#stepMaker}.
 */
public final class Trainer {
    private static final Logger log = LoggerFactory.getLogger(Trainer.class);
    private static final double NANOS = 1e9;

    private final RunPlan plan;
    private final EpochDataSetIterator data;
    private final Map<String, String> dataDescription;
    private final MultiDataSetIterator testData;
    private final CheckpointPolicy checkpoints;
    private final Map<String, String> versions;
    private final List<TrainingObserver> observers;
    private final int stopAfter;
    private final boolean recompute;
    private final int workers;

    private final ComputationGraph network;
    private final StepMaker stepMaker;
    private final WeightAverage average;

    private int step;
    private int epoch;
    private int batch;
    private long images;
    private double seconds;
    private double lossSum;
    private int lossCount;
    private volatile Path lastCheckpoint;
    private volatile boolean stopped;
    private boolean running;

    private Trainer(Builder builder) throws IOException {
        plan = builder.plan;
        data = builder.data;
        dataDescription = new LinkedHashMap<>(builder.dataDescription);
        testData = builder.testData;
        checkpoints = builder.checkpoints;
        versions = new LinkedHashMap<>(builder.versions);
        observers = List.copyOf(builder.observers);
        stopAfter = builder.stopAfter;
        recompute = builder.recompute;
        workers = builder.workers;
        if (data.batchesPerEpoch() < 1) {
            throw new IllegalArgumentException(
                    "An epoch of the data has no batch. Use a smaller global_batch_size, which is " + plan.batchSize());
        }
        if (plan.batchSize() % workers != 0) {
            throw new IllegalArgumentException(
                    "The batch must be a multiple of the number of workers, who share it equally,"
                            + " but global_batch_size is " + plan.batchSize() + " and there are " + workers
                            + " workers");
        }
        plan.steps(data.batchesPerEpoch());
        network = builder.origin.network(this);
        average = plan.averageDecay() > 0 ? builder.origin.average(this) : null;
        stepMaker = builder.stepMaker.create(network, plan, workers);
        listen(builder.listeners);
    }

    /** Order matters: the whole batch's gradient is there, perhaps clipped, before it is checked. */
    private void listen(List<TrainingListener> further) {
        List<TrainingListener> listeners = new ArrayList<>(stepMaker.listeners());
        listeners.add(new DivergenceGuard(() -> lastCheckpoint, model -> stepMaker.loss(), plan.largestLoss()));
        if (average != null) {
            listeners.add(average);
        }
        listeners.addAll(further);
        network.setListeners(listeners);
        // after the counters are set: it may act on them
        plan.attachTo(network);
    }

    /** {@return the plan} */
    public RunPlan plan() {
        return plan;
    }

    /** {@return the network that is trained; its weights move while this runs} */
    public ComputationGraph network() {
        return network;
    }

    /** {@return the moving average of the weights, if the plan has one} */
    public Optional<WeightAverage> average() {
        return Optional.ofNullable(average);
    }

    /** {@return how many share a batch} */
    public int workers() {
        return workers;
    }

    /** {@return what describes the data} */
    public Map<String, String> dataDescription() {
        return Map.copyOf(dataDescription);
    }

    /** {@return steps of an epoch} */
    public int batchesPerEpoch() {
        return data.batchesPerEpoch();
    }

    /** {@return steps of the whole plan} */
    public int totalSteps() {
        return plan.steps(data.batchesPerEpoch());
    }

    /** {@return the step at which {@link #run} ends: that of the plan, or an earlier one that was asked for} */
    public int lastStep() {
        return Math.min(totalSteps(), stopAfter);
    }

    /** {@return steps made, those before a resume included} */
    public int step() {
        return step;
    }

    /** {@return epoch of the next step, from 0} */
    public int epoch() {
        return epoch;
    }

    /** {@return images trained on, those before a resume included} */
    public long images() {
        return images;
    }

    /** {@return seconds of training, those before a resume included, without checkpoints, tests and observers} */
    public double seconds() {
        return seconds;
    }

    /** {@return the checkpoint that was written, or resumed from, last} */
    public Optional<Path> lastCheckpoint() {
        return Optional.ofNullable(lastCheckpoint);
    }

    /** Ends {@link #run} after the step at hand. From any thread, at any time, also before it begins. */
    public void stop() {
        stopped = true;
    }

    /** {@return whether {@link #stop} was called} */
    public boolean isStopped() {
        return stopped;
    }

    /**
     * Trains until the end of the plan, {@link Builder#stopAfter} or {@link #stop}, and writes a last checkpoint. A
     * checkpoint on the way that cannot be written, because the disk is full for example, is an error in the log only, and is
     * tried again at the next occasion; the last one must succeed.
     *
     * @throws IOException if the last checkpoint cannot be written, or an observer fails
     * @throws TrainingDivergedException if loss or gradient are not finite, or the loss is above
     *     {@link RunPlan#largestLoss}; the weights are those before the step
     * @throws IllegalStateException if another run holds the folder of the checkpoints, the plan's precision is not
     *     available, the data end before their epoch, or this runs already
     */
    public void run() throws IOException {
        if (running) {
            throw new IllegalStateException("This trainer runs already");
        }
        running = true;
        try (CheckpointFolder folder = checkpoints == null ? null : new CheckpointFolder(checkpoints, plan.parser());
                Prefetch batches = new Prefetch(data);
                StepMaker ignored = stepMaker) {
            train(folder, batches);
        } finally {
            running = false;
        }
    }

    private void train(CheckpointFolder folder, Prefetch batches) throws IOException {
        if (Products.precision() != plan.precision()) {
            Products.setPrecision(plan.precision());
        }
        data.seek(epoch, batch);
        for (TrainingObserver observer : observers) {
            observer.onStart(this);
        }
        boolean inEpoch = false;
        int savedAt = -1;
        long savedNanos = System.nanoTime();
        while (step < lastStep() && !stopped) {
            if (!inEpoch) {
                network.getListeners().forEach(listener -> listener.onEpochStart(network));
                inEpoch = true;
            }
            TrainingStep done = makeStep(batches);
            if (batch == data.batchesPerEpoch()) {
                network.getListeners().forEach(listener -> listener.onEpochEnd(network));
                inEpoch = false;
                nextEpoch();
            }
            for (TrainingObserver observer : observers) {
                observer.onStep(this, done);
            }
            if (folder != null && isDue(savedNanos)) {
                if (saveOnTheWay(folder)) {
                    savedAt = step;
                }
                savedNanos = System.nanoTime();
            }
        }
        if (folder != null && savedAt != step) {
            save(folder);
        }
        for (TrainingObserver observer : observers) {
            observer.onEnd(this);
        }
    }

    private TrainingStep makeStep(Prefetch batches) {
        long start = System.nanoTime();
        int stage = plan.stageAt(step, data.batchesPerEpoch());
        if (lossCount > 0 && step > 0 && stage != plan.stageAt(step - 1, data.batchesPerEpoch())) {
            // losses of different patch sides do not compare
            lossSum = 0;
            lossCount = 0;
        }
        if (!batches.hasNext()) {
            throw new IllegalStateException("Epoch " + epoch + " of the data ended after " + batch
                    + " batches, but has " + data.batchesPerEpoch());
        }
        MultiDataSet next = batches.next();
        stepMaker.makeStep(next, step);
        double rate = plan.learningRateAt(step, data.batchesPerEpoch());
        int count = Math.toIntExact(next.getFeatures(0).size(0));
        double took = (System.nanoTime() - start) / NANOS;
        step++;
        batch++;
        images += count;
        seconds += took;
        lossSum += stepMaker.loss();
        lossCount++;
        return new TrainingStep(
                step,
                epoch,
                stage,
                plan.patchSideOf(stage),
                rate,
                stepMaker.loss(),
                network.score(),
                stepMaker.gradientNorm(),
                count,
                took);
    }

    private void nextEpoch() {
        network.incrementEpochCount();
        epoch++;
        batch = 0;
        data.setEpoch(epoch);
    }

    private boolean isDue(long savedNanos) {
        Duration every = checkpoints.every();
        return checkpoints.everySteps() > 0 && step % checkpoints.everySteps() == 0
                || !every.isZero() && System.nanoTime() - savedNanos >= every.toNanos();
    }

    private boolean saveOnTheWay(CheckpointFolder folder) throws IOException {
        TrainingCheckpoint written;
        try {
            written = write(folder);
        } catch (IOException e) {
            log.error(
                    "The checkpoint of step {} was not written: {}. Training goes on; the last checkpoint is {}",
                    step,
                    e.getMessage(),
                    lastCheckpoint,
                    e);
            return false;
        }
        announce(written);
        return true;
    }

    private void save(CheckpointFolder folder) throws IOException {
        announce(write(folder));
    }

    private void announce(TrainingCheckpoint written) throws IOException {
        for (TrainingObserver observer : observers) {
            observer.onCheckpoint(this, written);
        }
    }

    private TrainingCheckpoint write(CheckpointFolder folder) throws IOException {
        OptionalDouble testLoss = testLoss(false);
        OptionalDouble averageTestLoss = testLoss(true);
        TrainingCheckpoint state = new TrainingCheckpoint(
                checkpoints.folder(),
                plan,
                dataDescription,
                data.batchesPerEpoch(),
                step,
                epoch,
                batch,
                images,
                seconds,
                lossCount == 0 ? OptionalDouble.empty() : OptionalDouble.of(lossSum / lossCount),
                testLoss,
                averageTestLoss);
        TrainingCheckpoint written = folder.write(network, average, state, versions);
        lastCheckpoint = written.folder();
        lossSum = 0;
        lossCount = 0;
        return written;
    }

    /**
     * The loss of the test images, of a GPT token by token (p = 1). Between steps only, in the thread that trains.
     *
     * @param ofAverage whether to test with the moving average in place of the weights
     * @return the plan's loss; empty if there are no test images, or no average
     */
    public OptionalDouble testLoss(boolean ofAverage) {
        if (testData == null || ofAverage && average == null) {
            return OptionalDouble.empty();
        }
        if (testData instanceof EpochDataSetIterator epochs) {
            epochs.setEpoch(0);
        } else {
            testData.reset();
        }
        WeightAverage.Swap swap = ofAverage ? average.applyTo(network) : null;
        try {
            return OptionalDouble.of(plan.testLoss(network, testData));
        } finally {
            if (swap != null) {
                swap.close();
            }
        }
    }

    /** Puts weights into a new network. */
    @FunctionalInterface
    public interface Weights {
        /**
         * Sets every parameter.
         *
         * @param network of the plan; its parameters are 0
         * @throws IOException if they cannot be read, or do not fit
         */
        void loadInto(ComputationGraph network) throws IOException;
    }

    /** Where a run starts. */
    private interface Origin {
        ComputationGraph network(Trainer trainer) throws IOException;

        default WeightAverage average(Trainer trainer) throws IOException {
            return new WeightAverage(trainer.network, trainer.plan.averageDecay());
        }
    }

    /** Over these parameters, or new ones. */
    private ComputationGraph newNetwork(INDArray parameters) {
        return plan.newNetwork(data.batchesPerEpoch(), recompute, parameters);
    }

    private INDArray zeros() {
        return Nd4j.create(plan.dataType(), 1, plan.parameters());
    }

    /** The position of a step, which only the counters of whole epochs tell. */
    private void continueAt(int steps, ComputationGraph counted) {
        step = steps;
        epoch = steps / data.batchesPerEpoch();
        batch = steps % data.batchesPerEpoch();
        counted.getConfiguration().setIterationCount(step);
        counted.getConfiguration().setEpochCount(epoch);
    }

    /** Settings of a run. */
    public static final class Builder {
        private final RunPlan plan;
        private final EpochDataSetIterator data;
        private final List<TrainingListener> listeners = new ArrayList<>();
        private final List<TrainingObserver> observers = new ArrayList<>();
        private Map<String, String> dataDescription = Map.of();
        private Map<String, String> versions = Map.of();
        private MultiDataSetIterator testData;
        private CheckpointPolicy checkpoints;
        private int stopAfter = Integer.MAX_VALUE;
        private boolean recompute;
        private int workers = 1;
        private StepMaker.Factory stepMaker = StepMaker.LOCAL;
        private Origin origin = trainer -> trainer.newNetwork(null);

        /**
         * A run with new weights, without checkpoints.
         *
         * @param plan what to train
         * @param data batches of the plan's batch size, shuffled by its seed; token ids and classes (or captions) as {@link
         *     LlamaGen} takes them
         */
        public Builder(RunPlan plan, EpochDataSetIterator data) {
            this.plan = Objects.requireNonNull(plan, "A trainer needs a plan: TrainingPlan.of(spec)");
            this.data = Objects.requireNonNull(data, "A trainer needs data, such as a TokenDataSetIterator");
        }

        /**
         * Describes the data, so that a checkpoint can tell whether it is continued with the same.
         *
         * @param description name to value, such as folder, number of images, hash
         * @return this
         */
        public Builder dataDescription(Map<String, String> description) {
            dataDescription = Objects.requireNonNull(description, "The description of the data is null");
            return this;
        }

        /**
         * Images to test on at every checkpoint.
         *
         * @param testData batches that can be reset
         * @return this
         */
        public Builder testData(MultiDataSetIterator testData) {
            this.testData = testData;
            return this;
        }

        /**
         * Writes checkpoints.
         *
         * @param checkpoints where and when
         * @return this
         */
        public Builder checkpoints(CheckpointPolicy checkpoints) {
            this.checkpoints = checkpoints;
            return this;
        }

        /**
         * Versions to note in checkpoints.
         *
         * @param versions name to version
         * @return this
         */
        public Builder versions(Map<String, String> versions) {
            this.versions = Objects.requireNonNull(versions, "The versions are null");
            return this;
        }

        /**
         * Adds listeners of Deeplearning4j.
         *
         * @param listeners any but StageScheduler, which there is already
         * @return this
         */
        public Builder listeners(TrainingListener... listeners) {
            this.listeners.addAll(List.of(listeners));
            return this;
        }

        /**
         * Adds an observer.
         *
         * @param observer told of every step and checkpoint
         * @return this
         */
        public Builder observer(TrainingObserver observer) {
            observers.add(Objects.requireNonNull(observer, "The observer is null"));
            return this;
        }

        /**
         * Ends the run early. The learning rate and the stages stay those of the whole plan.
         *
         * @param step steps made by then, those before a resume included; at least 1
         * @return this
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder stopAfter(int step) {
            if (step < 1) {
                throw new IllegalArgumentException("A run ends after at least 1 step, got " + step);
            }
            stopAfter = step;
            return this;
        }

        /**
         * Less memory for more operations; the result is the same: {@link LlamaGen#recomputeBlocks}. For plans of a GPT.
         *
         * @param recompute whether blocks compute their forward pass again
         * @return this
         */
        public Builder recomputeBlocks(boolean recompute) {
            this.recompute = recompute;
            return this;
        }

        /**
         * Shares every batch among workers, each with a copy of the network and its optimizer, through Deeplearning4j's
         * ParallelWrapper: one for each device. The step is that of one worker with the whole batch, up to rounding and the
         * draws of the dropouts. Default: 1, in the thread that trains.
         *
         * <p>A run continues to the bit with the same number of workers; another number is allowed. Listeners see worker 0,
         * with its share.
         *
         * @param workers at least 1; they must divide the plan's batch size
         * @return this
         * @throws IllegalArgumentException if there are less than 1
         */
        public Builder workers(int workers) {
            if (workers < 1) {
                throw new IllegalArgumentException("A run needs at least 1 worker, got " + workers);
            }
            this.workers = workers;
            return this;
        }

        /**
         * Has the steps made elsewhere than on this machine. Default: {@link StepMaker#LOCAL}.
         *
         * @param stepMaker decides how
         * @return this
         */
        public Builder stepMaker(StepMaker.Factory stepMaker) {
            this.stepMaker = Objects.requireNonNull(stepMaker, "What makes the steps is null");
            return this;
        }

        /**
         * Starts from given weights at step 0.
         *
         * @param weights puts them in
         * @return this
         */
        public Builder weights(Weights weights) {
            Objects.requireNonNull(weights, "The weights are null");
            origin = trainer -> {
                ComputationGraph network = trainer.newNetwork(trainer.zeros());
                weights.loadInto(network);
                return network;
            };
            return this;
        }

        /**
         * Continues from a checkpoint of this class, with this builder's plan and data; whether they are those of the
         * checkpoint, {@link TrainingCheckpoint#differences} tells. A plan with another model is refused.
         *
         * @param checkpoint to continue from
         * @return this
         */
        public Builder resume(TrainingCheckpoint checkpoint) {
            origin = new Resumed(Objects.requireNonNull(checkpoint, "The checkpoint is null"));
            return this;
        }

        /**
         * Continues from a checkpoint of PyTorch: weights, optimizer, moving average, steps. The schedule and the data
         * continue at the saved step.
         *
         * @param checkpoint of an open file
         * @return this
         */
        public Builder resume(GptCheckpoint checkpoint) {
            origin = new Published(Objects.requireNonNull(checkpoint, "The checkpoint is null"));
            return this;
        }

        /**
         * The trainer. Weights are made or read now.
         *
         * @return the trainer
         * @throws IOException if weights or a checkpoint cannot be read, or do not fit
         * @throws IllegalArgumentException if the data do not suit the plan
         */
        public Trainer build() throws IOException {
            return new Trainer(this);
        }
    }

    private record Resumed(TrainingCheckpoint checkpoint) implements Origin {
        @Override
        public ComputationGraph network(Trainer trainer) throws IOException {
            RunPlan old = checkpoint.plan();
            if (!trainer.plan.hasModelOf(old)) {
                throw new IllegalArgumentException("The checkpoint " + checkpoint.folder()
                        + " is of another model: " + String.join(", ", old.differences(trainer.plan))
                        + ". Start a new run; its weights can be taken where the sizes agree");
            }
            checkpoint.requireWhole();
            ComputationGraph stored = checkpoint.loadNetwork();
            // the very arrays of the stored one, under the plan's own configuration
            ComputationGraph network = trainer.newNetwork(stored.params());
            if (stored.getUpdater(false) != null) {
                network.setUpdater(new ComputationGraphUpdater(
                        network, stored.getUpdater(false).getStateViewArray()));
            }
            trainer.step = checkpoint.step();
            trainer.images = checkpoint.images();
            trainer.seconds = checkpoint.seconds();
            trainer.lastCheckpoint = checkpoint.folder();
            if (checkpoint.batchesPerEpoch() == trainer.data.batchesPerEpoch()) {
                trainer.epoch = checkpoint.epoch();
                trainer.batch = checkpoint.batch();
                network.getConfiguration().setIterationCount(trainer.step);
                network.getConfiguration().setEpochCount(trainer.epoch);
            } else {
                trainer.continueAt(checkpoint.step(), network);
            }
            return network;
        }

        @Override
        public WeightAverage average(Trainer trainer) throws IOException {
            if (!checkpoint.hasAverage()) {
                return Origin.super.average(trainer);
            }
            WeightAverage stored = checkpoint.loadAverage(trainer.network);
            if (stored.decay() == trainer.plan.averageDecay()) {
                return stored;
            }
            WeightAverage changed = new WeightAverage(trainer.network, trainer.plan.averageDecay());
            try (WeightAverage.Swap ignored = changed.applyTo(trainer.network)) {
                // what the network holds now becomes the average
                stored.copyTo(trainer.network);
            }
            return changed;
        }
    }

    private record Published(GptCheckpoint checkpoint) implements Origin {
        @Override
        public ComputationGraph network(Trainer trainer) throws IOException {
            if (!(trainer.plan instanceof TrainingPlan plan)) {
                throw new IllegalArgumentException(checkpoint.path() + " is of a GPT, but the plan is not");
            }
            ComputationGraph network = trainer.newNetwork(trainer.zeros());
            if (!checkpoint.resumeInto(network)) {
                throw new IllegalArgumentException(
                        checkpoint.path() + " has no state of the optimizer, so training cannot"
                                + " continue from it. Its weights alone can start a new run");
            }
            int steps = network.getConfiguration().getIterationCount();
            trainer.continueAt(steps, network);
            trainer.images = (long) steps * trainer.plan.batchSize();
            if (plan.stages().unit() == PatchStages.Unit.EPOCHS && steps >= trainer.totalSteps()) {
                log.warn("{} has made {} steps, the plan has {}", checkpoint.path(), steps, trainer.totalSteps());
            }
            return network;
        }

        @Override
        public WeightAverage average(Trainer trainer) throws IOException {
            WeightAverage average = Origin.super.average(trainer);
            checkpoint.loadInto(average, trainer.network);
            return average;
        }
    }
}
