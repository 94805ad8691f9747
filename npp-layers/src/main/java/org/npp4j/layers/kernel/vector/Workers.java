package org.npp4j.layers.kernel.vector;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;

/** Threads that share the parts of one operation; the thread that asks takes part. */
final class Workers {
    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    private static final ExecutorService HELPERS = helpers();

    private Workers() {}

    private static ExecutorService helpers() {
        AtomicInteger number = new AtomicInteger();
        int threads = Math.max(1, THREADS - 1);
        ThreadPoolExecutor pool =
                new ThreadPoolExecutor(threads, threads, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), task -> {
                    Thread thread = new Thread(task, "npp-worker-" + number.incrementAndGet());
                    thread.setDaemon(true);
                    return thread;
                });
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    /**
     * Runs every part once, in any order, several at a time, and returns when all are done.
     *
     * @param parts how many
     * @param part told the number of the part, from 0
     */
    static void run(int parts, IntConsumer part) {
        int threads = Math.min(parts, THREADS);
        if (threads <= 1) {
            for (int i = 0; i < parts; i++) {
                part.accept(i);
            }
            return;
        }
        AtomicInteger next = new AtomicInteger();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        // Counts parts, not threads: a thread that wakes up when everything is done is not waited for.
        CountDownLatch done = new CountDownLatch(parts);
        Runnable share = () -> {
            for (int i = next.getAndIncrement(); i < parts; i = next.getAndIncrement()) {
                try {
                    if (failure.get() == null) {
                        part.accept(i);
                    }
                } catch (RuntimeException | Error e) {
                    failure.compareAndSet(null, e);
                } finally {
                    done.countDown();
                }
            }
        };
        for (int i = 1; i < threads; i++) {
            HELPERS.execute(share);
        }
        share.run();
        awaitUninterruptibly(done);
        Throwable thrown = failure.get();
        if (thrown instanceof Error error) {
            throw error;
        }
        if (thrown != null) {
            throw (RuntimeException) thrown;
        }
    }

    /** The caller's memory is in use until every part is done, so an interrupt has to wait. */
    private static void awaitUninterruptibly(CountDownLatch done) {
        boolean interrupted = false;
        while (true) {
            try {
                done.await();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
