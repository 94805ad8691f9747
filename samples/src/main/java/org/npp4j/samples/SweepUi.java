package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.util.ServiceLoader;
import java.util.concurrent.CountDownLatch;
import org.npp4j.arbiter.Sweep;
import org.npp4j.arbiter.SweepView;
import org.slf4j.LoggerFactory;

/**
 * Arbiter's UI, which is not among the libraries of every build: the Maven profile {@code ui}, which the launcher takes when
 * {@code --ui} is given, has it.
 */
final class SweepUi implements AutoCloseable {
    private final SweepView view;
    private final URI address;
    private volatile boolean left;

    private SweepUi(SweepView view, URI address) {
        this.view = view;
        this.address = address;
    }

    /** {@return no UI} */
    static SweepUi none() {
        return new SweepUi(null, null);
    }

    /**
     * Starts the server.
     *
     * @param port it listens on; 0 for any
     * @return what shows a sweep
     * @throws AppException if the UI is not on the class path, or does not start
     */
    static SweepUi open(int port) {
        SweepView view = ServiceLoader.load(SweepView.class)
                .findFirst()
                .orElseThrow(() -> new AppException("--ui needs Arbiter's UI on the class path. Start with ./npp, which"
                        + " fetches it, or build with -Pui"));
        try {
            return new SweepUi(view, view.open(port));
        } catch (IOException e) {
            throw new AppException(
                    "Arbiter's UI did not start: " + e.getMessage() + ". Choose another port: --ui PORT", e);
        }
    }

    void listenTo(Sweep.Builder builder) {
        if (view != null) {
            builder.listener(view);
        }
    }

    void show(Sweep sweep) {
        if (view != null) {
            view.show(sweep);
            LoggerFactory.getLogger(SweepUi.class).info("Arbiter's UI: {}", address);
        }
    }

    /** The user wants the program to end. From any thread. */
    void leave() {
        left = true;
    }

    /** Waits for Ctrl-C if someone is at a terminal. */
    void stayOpen(PrintWriter printer) {
        if (view == null || left || !Terminal.isWatched()) {
            return;
        }
        printer.println("Arbiter's UI stays at " + address + " until Ctrl-C");
        printer.flush();
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        if (view != null) {
            view.close();
        }
    }
}
