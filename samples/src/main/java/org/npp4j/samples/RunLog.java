package org.npp4j.samples;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.FileAppender;
import java.nio.file.Path;
import org.slf4j.ILoggerFactory;
import org.slf4j.LoggerFactory;

/** The log file of a run. Unlike the console it has times, sources and the stack traces of failures. */
final class RunLog implements AutoCloseable {
    private static final org.slf4j.Logger LOG = LoggerFactory.getLogger(RunLog.class);

    private final Logger root;
    private final FileAppender<ILoggingEvent> file;

    private RunLog(Logger root, FileAppender<ILoggingEvent> file) {
        this.root = root;
        this.file = file;
    }

    /**
     * Starts logging to a file as well.
     *
     * @param path the file; an old one is replaced
     * @return the log, to be closed at the end
     */
    static RunLog open(Path path) {
        return open(path, false);
    }

    /**
     * Starts logging to a file as well.
     *
     * @param path the file
     * @param append whether an old one is continued, otherwise it is replaced
     * @return the log, to be closed at the end
     */
    static RunLog open(Path path, boolean append) {
        ILoggerFactory factory = LoggerFactory.getILoggerFactory();
        if (!(factory instanceof LoggerContext)) {
            return new RunLog(null, null);
        }
        LoggerContext context = (LoggerContext) factory;
        PatternLayoutEncoder encoder = new PatternLayoutEncoder();
        encoder.setContext(context);
        encoder.setPattern("%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5level %logger - %msg%n%ex");
        encoder.start();
        FileAppender<ILoggingEvent> file = new FileAppender<>();
        file.setContext(context);
        file.setName("run");
        file.setFile(path.toString());
        file.setAppend(append);
        file.setEncoder(encoder);
        file.start();
        Logger root = context.getLogger(Logger.ROOT_LOGGER_NAME);
        root.addAppender(file);
        return new RunLog(root, file);
    }

    /**
     * Keeps a failure with its stack trace. The console gets its explanation elsewhere.
     *
     * @param thrown what was thrown
     */
    void failed(Throwable thrown) {
        LOG.debug("The run failed", thrown);
    }

    @Override
    public void close() {
        if (file != null) {
            root.detachAppender(file);
            file.stop();
        }
    }
}
