package org.npp4j.llamagen.training;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.NoSuchElementException;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;

/**
 * The data of one {@code fit} of ParallelWrapper: a round of one batch for each worker, then the next round once it is asked
 * for. {@code fit} runs in a thread of its own and waits here between rounds; whoever asks for a round waits until it is
 * over. Between rounds all workers are idle.
 *
 * <p>ParallelWrapper asks {@link #hasNext} before a round, before each batch, after the last batch of the round <em>before</em>
 * it is computed, and when it is over. So a round is over when all workers have said so.
 */
final class StepRounds implements MultiDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final int workers;
    private final transient Deque<MultiDataSet> waiting = new ArrayDeque<>();
    private int done;
    private boolean over = true;
    private boolean ended;
    private Throwable failure;

    StepRounds(int workers) {
        this.workers = workers;
    }

    /**
     * Runs one round.
     *
     * @param batch cut into one share for each worker
     * @throws IllegalStateException if it is too small for that
     */
    synchronized void run(MultiDataSet batch) {
        waiting.addAll(shares(batch));
        done = 0;
        over = false;
        notifyAll();
        while (!over && failure == null) {
            await();
        }
        if (failure != null) {
            throw rootCause();
        }
    }

    private List<MultiDataSet> shares(MultiDataSet batch) {
        long size = batch.getFeatures(0).size(0);
        if (size < workers) {
            throw new IllegalStateException("A batch of " + size + " images cannot be shared by " + workers
                    + " workers. Use data that drop their last short batch, or fewer workers");
        }
        List<MultiDataSet> shares = new ArrayList<>();
        for (int i = 0; i < workers; i++) {
            shares.add(GradientAccumulation.part(batch, i * size / workers, (i + 1) * size / workers));
        }
        return shares;
    }

    private void await() {
        try {
            wait();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while the workers made a step", e);
        }
    }

    /** What the first worker that failed has thrown, if it can be thrown, without what ParallelWrapper put around it. */
    private RuntimeException rootCause() {
        Throwable thrown = failure;
        while (thrown.getClass() == RuntimeException.class && thrown.getCause() != null) {
            thrown = thrown.getCause();
        }
        if (thrown instanceof Error error) {
            throw error;
        }
        return thrown instanceof RuntimeException unchecked ? unchecked : new IllegalStateException(thrown);
    }

    /** A worker has made its move. */
    synchronized void workerDone() {
        done++;
    }

    /** A worker, or {@code fit} itself, has failed. */
    synchronized void fail(Throwable thrown) {
        if (failure == null) {
            failure = thrown;
        }
        notifyAll();
    }

    /** Ends {@code fit}. */
    synchronized void end() {
        ended = true;
        notifyAll();
    }

    @Override
    public synchronized boolean hasNext() {
        if (!waiting.isEmpty() || !over && done < workers) {
            return true;
        }
        over = true;
        notifyAll();
        while (waiting.isEmpty() && !ended) {
            await();
        }
        return !waiting.isEmpty();
    }

    @Override
    public synchronized MultiDataSet next() {
        if (waiting.isEmpty()) {
            throw new NoSuchElementException("No batch of this round is left");
        }
        return waiting.remove();
    }

    @Override
    public MultiDataSet next(int num) {
        return next();
    }

    @Override
    public boolean resetSupported() {
        return false;
    }

    @Override
    public boolean asyncSupported() {
        return false;
    }

    @Override
    public void reset() {
        throw new UnsupportedOperationException("Rounds come as they are asked for");
    }

    @Override
    public void setPreProcessor(MultiDataSetPreProcessor preProcessor) {
        throw new UnsupportedOperationException("Batches are ready when they come here");
    }

    @Override
    public MultiDataSetPreProcessor getPreProcessor() {
        return null;
    }
}
