package org.npp4j.llamagen.evaluation;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.ops.transforms.Transforms;
import org.npp4j.llamagen.files.NpzFile;

/**
 * Mean and covariance of the features of many images: all that the Fréchet distance needs. In double.
 *
 * <p>mean = sum_n x_n / N, covariance = sum_n (x_n - mean) (x_n - mean)^T / (N - 1).
 */
public final class FeatureStatistics {
    private static final double SYMMETRY = 1e-5;

    private final INDArray mean;
    private final INDArray covariance;

    private FeatureStatistics(INDArray mean, INDArray covariance) {
        this.mean = mean;
        this.covariance = covariance;
    }

    /**
     * Statistics of features.
     *
     * @param features of at least two images
     * @return their mean and unbiased covariance
     * @throws IllegalArgumentException if there are fewer than two images
     */
    public static FeatureStatistics of(Features features) {
        Accumulator accumulator = new Accumulator(features.width());
        for (int block = 0; block < features.blocks(); block++) {
            accumulator.add(features.block(block));
        }
        return accumulator.statistics();
    }

    /**
     * Statistics that were computed elsewhere.
     *
     * @param mean [F]
     * @param covariance [F, F], symmetric
     * @return the statistics, copied
     * @throws IllegalArgumentException if the shapes do not fit, the matrix is not symmetric, or a value is no finite
     *     number
     */
    public static FeatureStatistics of(INDArray mean, INDArray covariance) {
        long width = mean.length();
        if (mean.rank() != 1 || !Arrays.equals(covariance.shape(), new long[] {width, width})) {
            throw new IllegalArgumentException("Statistics are a mean [F] and a covariance [F, F], got "
                    + Arrays.toString(mean.shape()) + " and " + Arrays.toString(covariance.shape()));
        }
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            INDArray m = mean.castTo(DataType.DOUBLE).dup();
            INDArray c = covariance.castTo(DataType.DOUBLE).dup('f');
            double largest = c.amaxNumber().doubleValue();
            double asymmetry = c.sub(c.transpose()).amaxNumber().doubleValue();
            if (!Double.isFinite(m.sumNumber().doubleValue() + c.sumNumber().doubleValue())) {
                throw new IllegalArgumentException(
                        "The mean or the covariance holds a value that is no finite number (NaN or infinite)");
            }
            if (asymmetry > SYMMETRY * largest) {
                throw new IllegalArgumentException(
                        "The covariance is not symmetric: it differs from its transpose by up" + " to " + asymmetry);
            }
            return new FeatureStatistics(m, c);
        }
    }

    /**
     * Reads the statistics of a reference file.
     *
     * @param file an .npz file
     * @param meanName the array with the mean, such as mu
     * @param covarianceName the array with the covariance, such as sigma
     * @return the statistics
     * @throws IllegalArgumentException if an array is missing or they do not fit together
     * @throws FileSystemException if an array cannot be read
     * @throws IOException if the file cannot be read
     */
    public static FeatureStatistics read(Path file, String meanName, String covarianceName) throws IOException {
        try (NpzFile npz = NpzFile.open(file)) {
            return of(npz.array(meanName), npz.array(covarianceName));
        }
    }

    /** {@return F, the features of an image} */
    public int width() {
        return (int) mean.length();
    }

    /** {@return a copy of the mean, [F], double} */
    public INDArray mean() {
        return mean.dup();
    }

    /** {@return a copy of the covariance, [F, F], double} */
    public INDArray covariance() {
        return covariance.dup();
    }

    INDArray meanView() {
        return mean;
    }

    INDArray covarianceView() {
        return covariance;
    }

    /**
     * Takes features batch by batch. Only a mean and one matrix are kept, and batches are merged without cancellation.
     *
     * <p>Source of the merging: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
     * variances", 1979.
     */
    public static final class Accumulator {
        private final int width;
        private final INDArray mean;
        private final INDArray scatter;
        private long images;

        /**
         * No image yet.
         *
         * @param width F, at least 1
         * @throws IllegalArgumentException if it is below 1
         */
        public Accumulator(int width) {
            if (width < 1) {
                throw new IllegalArgumentException("An image needs at least 1 feature, got " + width);
            }
            this.width = width;
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                mean = Nd4j.create(DataType.DOUBLE, width);
                scatter = Nd4j.create(DataType.DOUBLE, new long[] {width, width}, 'f');
            }
        }

        /**
         * Adds images.
         *
         * @param features [n, F]
         * @throws IllegalArgumentException if they have another width
         */
        public void add(INDArray features) {
            add(features, null);
        }

        /**
         * Adds images, each as often as told.
         *
         * @param features [n, F]
         * @param repeats how often each counts, [n] whole numbers in double; null for once
         */
        void add(INDArray features, INDArray repeats) {
            if (features.rank() != 2 || features.size(1) != width) {
                throw new IllegalArgumentException("Features must have the shape [images, " + width + "], got "
                        + Arrays.toString(features.shape()));
            }
            double count =
                    repeats == null ? features.size(0) : repeats.sumNumber().doubleValue();
            if (count == 0) {
                return;
            }
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces();
                    INDArray x = Nd4j.createUninitialized(DataType.DOUBLE, features.size(0), width)) {
                x.assign(features);
                // [n] x [n, F] -> [F]
                INDArray batchMean = repeats == null
                        ? x.mean(0)
                        : x.transpose().mmul(repeats).divi(count);
                x.subiRowVector(batchMean);
                if (repeats != null) {
                    x.muliColumnVector(Transforms.sqrt(repeats, true));
                }
                // scatter += x^T x: [F, n] x [n, F] -> [F, F]
                Nd4j.gemm(x, x, scatter, true, false, 1, 1);
                Nd4j.getExecutioner().commit();
                INDArray step = batchMean.sub(mean).reshape(width, 1);
                // scatter += step step^T N n / (N + n): [F, 1] x [1, F] -> [F, F]
                Nd4j.gemm(step, step, scatter, false, true, images * count / (images + count), 1);
                mean.addi(step.reshape(width).muli(count / (images + count)));
                images += Math.round(count);
            }
        }

        /** {@return the images so far} */
        public long images() {
            return images;
        }

        /**
         * What has been added.
         *
         * @return mean and unbiased covariance
         * @throws IllegalArgumentException if there were fewer than two images
         */
        public FeatureStatistics statistics() {
            if (images < 2) {
                throw new IllegalArgumentException(
                        "A covariance needs at least 2 images, got " + images + ". Give more images");
            }
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                return new FeatureStatistics(mean.dup(), scatter.div(images - 1));
            }
        }
    }
}
