package org.npp4j.llamagen.training;

import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.npp4j.llamagen.images.EpochDataSetIterator;

/** Makes the next batch of an epoch in a thread of its own while the present one is trained on, if the data allow it. */
final class Prefetch implements AutoCloseable {
    private final EpochDataSetIterator data;
    private final ExecutorService thread;
    private Future<MultiDataSet> next;

    Prefetch(EpochDataSetIterator data) {
        this.data = data;
        thread = data.asyncSupported() ? Executors.newSingleThreadExecutor(Prefetch::daemon) : null;
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work, "next-batch");
        thread.setDaemon(true);
        return thread;
    }

    /** {@return whether the present epoch has another batch} */
    boolean hasNext() {
        return next != null || data.hasNext();
    }

    /** {@return the next batch of the present epoch} */
    MultiDataSet next() {
        if (thread == null) {
            return data.next();
        }
        MultiDataSet batch = next == null ? data.next() : ready();
        // never beyond the epoch: its end moves the iterator
        next = data.hasNext() ? thread.submit(() -> data.next()) : null;
        return batch;
    }

    private MultiDataSet ready() {
        Future<MultiDataSet> made = next;
        next = null;
        try {
            return made.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            if (e.getCause() instanceof Error cause) {
                throw cause;
            }
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while the next batch was made", e);
        }
    }

    /** Waits for a batch that is being made: after this nobody else uses the iterator. */
    @Override
    public void close() {
        if (thread == null) {
            return;
        }
        thread.shutdown();
        if (next != null) {
            try {
                ready();
            } catch (RuntimeException e) {
                // a batch that nobody wants
                next = null;
            }
        }
    }
}
