package org.npp4j.llamagen.training;

import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.deeplearning4j.parallelism.ParallelWrapper;
import org.deeplearning4j.parallelism.factory.DefaultTrainerContext;
import org.deeplearning4j.parallelism.trainer.DefaultTrainer;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.npp4j.layers.PatchAverage;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.StageScheduler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Steps made by several workers of Deeplearning4j's ParallelWrapper, one on each device where there are several. Worker 0
 * trains the network itself, the others copies of it. Each computes its share of the batch; gradients meet in {@link
 * GradientExchange}, so that clipping and AdamW see the whole batch; then ParallelWrapper averages weights and optimizer,
 * which are equal already but for rounding.
 *
 * <p>The copies are made from the network's JSON and have a patch side of their own: where that of the network has changed,
 * one {@code fit} of ParallelWrapper ends and the next one begins, with new copies.
 */
final class ParallelStepMaker implements StepMaker {
    private static final Logger log = LoggerFactory.getLogger(ParallelStepMaker.class);
    private static final long END_MILLIS = 10_000;

    private final ComputationGraph network;
    private final RunPlan plan;
    private final int workers;
    private final GradientExchange exchange;
    private final GlobalNormClipping clipping;
    private Fit fit;

    ParallelStepMaker(ComputationGraph network, RunPlan plan, int workers) {
        this.network = network;
        this.plan = plan;
        this.workers = workers;
        exchange = new GradientExchange(workers, plan::loss);
        clipping = plan.clipping();
    }

    @Override
    public List<TrainingListener> listeners() {
        return listeners(0, clipping);
    }

    private List<TrainingListener> listeners(int worker, GlobalNormClipping clippingOfWorker) {
        List<TrainingListener> listeners = new ArrayList<>(exchange.listeners(worker));
        listeners.add(clippingOfWorker);
        return listeners;
    }

    @Override
    public void makeStep(MultiDataSet batch, int step) {
        List<PatchAverage> patches = StageScheduler.patchAveragesOf(network);
        int patchSide = patches.isEmpty() ? 1 : patches.get(0).getPatchSide();
        if (fit != null && fit.patchSide != patchSide) {
            close();
        }
        if (fit == null) {
            fit = new Fit(patchSide);
        }
        fit.rounds.run(batch);
    }

    @Override
    public double loss() {
        return exchange.loss();
    }

    @Override
    public double gradientNorm() {
        return clipping.lastNorm();
    }

    @Override
    public void close() {
        if (fit != null) {
            fit.end();
            fit = null;
        }
    }

    /** One {@code fit} of ParallelWrapper, in a thread of its own. */
    private final class Fit {
        private final int patchSide;
        private final StepRounds rounds = new StepRounds(workers);
        private final ParallelWrapper wrapper;
        private final Thread thread;

        Fit(int patchSide) {
            this.patchSide = patchSide;
            exchange.begin();
            // ParallelWrapper takes them away from the network, and would give all of them to every copy
            List<TrainingListener> listeners = new ArrayList<>(network.getListeners());
            wrapper = new ParallelWrapper.Builder<>(network)
                    .workers(workers)
                    .averagingFrequency(1)
                    .averageUpdaters(true)
                    .prefetchBuffer(0)
                    .build();
            network.setListeners(listeners);
            wrapper.setListeners(List.of());
            // the builder has no use for one in this mode
            wrapper.setTrainerContext(new Workers());
            wrapper.setHandler((worker, thrown) -> fail(thrown));
            thread = new Thread(this::run, "parallel-training");
            thread.setDaemon(true);
            thread.start();
        }

        private void run() {
            try {
                wrapper.fit(rounds);
            } catch (RuntimeException | Error e) {
                fail(e);
            }
        }

        private void fail(Throwable thrown) {
            rounds.fail(thrown);
            exchange.fail();
        }

        void end() {
            rounds.end();
            try {
                // It ends at once, unless a worker died of an error before it had begun: ParallelWrapper never learns
                // of that
                thread.join(END_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (thread.isAlive()) {
                log.warn("The workers have not ended");
            } else {
                // again after a fit that ended well, which does nothing
                wrapper.shutdown();
            }
        }

        /** Makes the workers. */
        private final class Workers extends DefaultTrainerContext {
            @Override
            public Worker create(
                    String uuid,
                    int threadId,
                    Model model,
                    int rootDevice,
                    boolean useMDS,
                    ParallelWrapper wrapper,
                    WorkspaceMode mode,
                    int averagingFrequency) {
                return new Worker(uuid, threadId, model, wrapper, mode, averagingFrequency);
            }
        }

        /** Trains one of the networks on the shares that it is given, in a thread of ParallelWrapper. */
        private final class Worker extends DefaultTrainer {
            Worker(
                    String uuid,
                    int number,
                    Model original,
                    ParallelWrapper wrapper,
                    WorkspaceMode mode,
                    int averagingFrequency) {
                this.uuid = uuid + "_thread_" + number;
                this.useMDS = true;
                this.originalModel = original;
                this.threadId = number;
                this.workspaceMode = mode;
                this.parallelWrapper = wrapper;
                this.averagingFrequency = averagingFrequency;
                setName("worker-" + number);
                // otherwise by whichever of two threads comes first, or by both
                setupIfNeccessary();
            }

            /** The network keeps its listeners; a copy has those that its moves need. */
            @Override
            protected void postInit() {
                if (threadId > 0) {
                    replicatedModel.setListeners(listeners(threadId, plan.clipping()));
                }
            }

            @Override
            protected void fit(MultiDataSet share) {
                ComputationGraph replica = (ComputationGraph) replicatedModel;
                try {
                    StepMaker.seedRandom(plan.seed(), replica.getIterationCount(), threadId);
                    exchange.accumulation(threadId).fit(replica, share, plan.microBatch());
                } catch (RuntimeException | Error e) {
                    Fit.this.fail(e);
                    // of an error ParallelWrapper would not learn
                    throw new IllegalStateException("Worker " + threadId + " failed", e);
                }
                rounds.workerDone();
            }
        }
    }
}
