package org.npp4j.arbiter;

import java.io.IOException;
import java.net.URI;

/**
 * Pages that show a sweep while it runs. The module {@code npp-arbiter-ui} brings Arbiter's own; where it is on the class
 * path, {@link java.util.ServiceLoader} finds it.
 *
 * <pre>{@code
 * try (SweepView view = ServiceLoader.load(SweepView.class).findFirst().orElseThrow()) {
 *     Sweep sweep = new Sweep.Builder(space, plan, trainers, folder).listener(view).build();
 *     view.open(9000);
 *     view.show(sweep);
 *     sweep.run();
 * }
 * }</pre>
 */
public interface SweepView extends SweepListener, AutoCloseable {
    /**
     * Serves the pages, to this machine alone.
     *
     * @param port to listen on; 0 for any that is free
     * @return the address of the first page
     * @throws IOException if the port cannot be had
     */
    URI open(int port) throws IOException;

    /**
     * The sweep to show, of which this is a listener too.
     *
     * @param sweep before it runs
     */
    void show(Sweep sweep);

    /** Ends the pages. */
    @Override
    void close();
}
