package org.npp4j.samples;

import java.util.concurrent.CountDownLatch;
import org.slf4j.LoggerFactory;

/**
 * Who ends the program, by Ctrl-C for example, waits until the work at hand is stopped and its last words are said: until this
 * is closed.
 */
final class StopAtExit implements AutoCloseable {
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread hook;

    /**
     * Waits from now on.
     *
     * @param stop asks the work to end soon, from another thread
     */
    StopAtExit(Runnable stop) {
        hook = new Thread(
                () -> {
                    stop.run();
                    try {
                        ended.await();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                },
                "stop-at-exit");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    @Override
    public void close() {
        ended.countDown();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // it runs: the program is about to end
            LoggerFactory.getLogger(StopAtExit.class).debug("The program is ending", e);
        }
    }
}
