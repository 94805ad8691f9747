package org.npp4j.samples;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import org.deeplearning4j.optimize.api.TrainingListener;

/**
 * Deeplearning4j's training UI, which is not among the libraries of every build: the Maven profile {@code ui}, which the
 * launcher takes when {@code --ui} is given, has it. Hence by name.
 */
final class TrainingUi {
    private static final String PORT = "org.deeplearning4j.ui.port";
    private static final String SERVER = "org.deeplearning4j.ui.api.UIServer";
    private static final String STORAGE = "org.deeplearning4j.ui.model.storage.InMemoryStatsStorage";
    private static final String STORAGE_TYPE = "org.deeplearning4j.core.storage.StatsStorage";
    private static final String LISTENER = "org.deeplearning4j.ui.model.stats.StatsListener";

    private TrainingUi() {}

    /**
     * Starts the server.
     *
     * @param port it listens on
     * @param every iterations between two reports
     * @return a listener that reports to it
     * @throws AppException if the UI is not on the class path, or does not start
     */
    static TrainingListener start(int port, int every) {
        System.setProperty(PORT, Integer.toString(port));
        try {
            Object storage = Class.forName(STORAGE).getConstructor().newInstance();
            Class<?> server = Class.forName(SERVER);
            Object instance = server.getMethod("getInstance").invoke(null);
            server.getMethod("attach", Class.forName(STORAGE_TYPE)).invoke(instance, storage);
            for (Constructor<?> constructor : Class.forName(LISTENER).getConstructors()) {
                Class<?>[] types = constructor.getParameterTypes();
                if (types.length == 2 && types[0].isInstance(storage) && types[1] == int.class) {
                    return (TrainingListener) constructor.newInstance(storage, every);
                }
            }
            throw new AppException("The training UI on the class path is of another version of Deeplearning4j");
        } catch (ClassNotFoundException e) {
            throw new AppException(
                    "--ui needs Deeplearning4j's training UI on the class path. Start with ./npp, which fetches it, or"
                            + " build with -Pui",
                    e);
        } catch (InvocationTargetException e) {
            throw new AppException("The training UI did not start on port " + port + ": " + e.getCause(), e);
        } catch (ReflectiveOperationException | LinkageError e) {
            throw new AppException("The training UI did not start: " + e, e);
        }
    }
}
