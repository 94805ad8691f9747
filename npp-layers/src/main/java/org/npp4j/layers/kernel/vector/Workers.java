package org.npp4j.layers.kernel.vector;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
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
        CountDownLatch done = new CountDownLatch(threads - 1);
        Throwable[] failure = new Throwable[1];
        Runnable share = () -> {
            try {
                for (int i = next.getAndIncrement(); i < parts; i = next.getAndIncrement()) {
                    part.accept(i);
                }
            } catch (RuntimeException | Error e) {
                next.set(parts);
                synchronized (failure) {
                    failure[0] = e;
                }
            }
        };
        for (int i = 1; i < threads; i++) {
            HELPERS.execute(() -> {
                share.run();
                done.countDown();
            });
        }
        share.run();
        awaitUninterruptibly(done);
        synchronized (failure) {
            if (failure[0] instanceof Error error) {
                throw error;
            }
            if (failure[0] != null) {
                throw (RuntimeException) failure[0];
            }
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
