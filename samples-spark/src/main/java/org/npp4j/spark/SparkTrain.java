package org.npp4j.spark;

import java.io.PrintWriter;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;
import org.npp4j.samples.Npp;

/**
 * {@code npp train} on Spark: the same options, and {@code --workers N} are N tasks a step.
 *
 * <pre>
 * spark-submit --class org.npp4j.spark.SparkTrain .. npp-samples-spark.jar --workers 8 --code-path .. --out ..
 * </pre>
 *
 * <p>Codes are read, and the folder of the run is written, by the driver alone.
 */
public final class SparkTrain {
    private SparkTrain() {}

    /**
     * Runs and exits.
     *
     * @param args options of {@code npp train}
     */
    public static void main(String[] args) {
        int code = run(new SparkConf(), new PrintWriter(System.out, true), new PrintWriter(System.err, true), args);
        // Spark's driver on a cluster takes any call of exit for a failure
        if (code != 0) {
            System.exit(code);
        }
    }

    /**
     * Runs.
     *
     * @param conf of the application; its master is this machine if it has none
     * @param out for results
     * @param err for errors
     * @param args options of {@code npp train}
     * @return the exit code: 0 done, 1 failed, 2 wrong usage
     */
    static int run(SparkConf conf, PrintWriter out, PrintWriter err, String... args) {
        conf.setIfMissing("spark.app.name", "npp train");
        conf.setIfMissing("spark.master", "local[*]");
        // Kryo cannot send ND4J's arrays, and the registrator that could is missing in Deeplearning4j's release for
        // Spark 3
        conf.set("spark.serializer", "org.apache.spark.serializer.JavaSerializer");
        // every step broadcasts the network: old ones are to go long before the half hour that is usual
        conf.setIfMissing("spark.cleaner.periodicGC.interval", "1min");
        try (Cluster cluster = new Cluster(conf)) {
            return Npp.train(
                    (network, plan, workers) -> new SparkStepMaker(cluster.context(), network, plan, workers),
                    out,
                    err,
                    args);
        }
    }

    /**
     * Starts with the trainer: not for the help, nor for wrong options. When the program is ended from outside it stays up
     * until the step at hand and its checkpoint are done; without that, Spark would stop with the first signal.
     */
    private static final class Cluster implements AutoCloseable {
        private static final int BEFORE_SPARK = 1000;
        private static final int LONGEST_STEP_MINUTES = 30;

        private final SparkConf conf;
        private final CountDownLatch ended = new CountDownLatch(1);
        private final Runnable wait = this::awaitEnd;
        private JavaSparkContext context;

        Cluster(SparkConf conf) {
            this.conf = conf;
        }

        JavaSparkContext context() {
            if (context == null) {
                context = new JavaSparkContext(conf);
                ShutdownHookManager.get().addShutdownHook(wait, BEFORE_SPARK, LONGEST_STEP_MINUTES, TimeUnit.MINUTES);
            }
            return context;
        }

        private void awaitEnd() {
            try {
                ended.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void close() {
            ended.countDown();
            if (context != null) {
                if (!ShutdownHookManager.get().isShutdownInProgress()) {
                    ShutdownHookManager.get().removeShutdownHook(wait);
                }
                context.close();
            }
        }
    }
}
