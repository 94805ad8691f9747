package org.npp4j.llamagen.evaluation;

import java.util.stream.IntStream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * The squared Fréchet distance of two normal distributions, which is the FID where they were fitted to the features of two
 * sets of images:
 *
 * <p>|m1 - m2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)).
 *
 * <p>S1 S2 is not symmetric, but has the eigenvalues of R S2 R^T where S1 = R^T R. That matrix is symmetric and has no
 * negative eigenvalues, so tr sqrt(S1 S2) is the sum of the roots of what LAPACK's symmetric solver gives. R is a Cholesky
 * factor with pivots, which stops at the rank of S1: so it holds for singular covariances too, those of fewer images than
 * features, without adding anything to their diagonals.
 *
 * <p>No eigenvectors are asked for: those of OpenBLAS 0.3.19, which ND4J brings, are wrong from some hundred rows on with
 * its kernels for processors with AVX-512 (SKYLAKEX); eigenvalues and products are right.
 *
 * <p>Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
 */
public final class FrechetDistance {
    /** Of two doubles next to each other, relative. */
    private static final double EPSILON = Math.ulp(1.0);

    private final FeatureStatistics reference;
    /** R^T, [F, rank]. */
    private final INDArray root;

    /**
     * Distances to a reference, whose decomposition is computed once.
     *
     * @param reference statistics of the reference
     */
    public FrechetDistance(FeatureStatistics reference) {
        this.reference = reference;
        this.root = root(reference.covarianceView());
    }

    /**
     * The distance of two statistics.
     *
     * @param a statistics
     * @param b statistics of the same features
     * @return the squared distance, at least 0
     * @throws IllegalArgumentException if the widths differ
     */
    public static double between(FeatureStatistics a, FeatureStatistics b) {
        requireSameWidth(a, b);
        return new FrechetDistance(a).to(b);
    }

    /**
     * The distance to the reference.
     *
     * @param sample statistics of the same features
     * @return the squared distance, at least 0
     * @throws IllegalArgumentException if the widths differ
     */
    public double to(FeatureStatistics sample) {
        requireSameWidth(reference, sample);
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            INDArray step = reference.meanView().sub(sample.meanView());
            double distance = step.mul(step).sumNumber().doubleValue()
                    + trace(reference.covarianceView())
                    + trace(sample.covarianceView());
            // R S2 R^T: [rank, F] x [F, F] x [F, rank] -> [rank, rank]
            INDArray product = multiply(root, multiply(sample.covarianceView(), root, false), true);
            double[] eigenvalues = eigenvalues(product);
            double negligible = negligible(eigenvalues);
            for (double eigenvalue : eigenvalues) {
                if (eigenvalue > negligible) {
                    distance -= 2 * Math.sqrt(eigenvalue);
                }
            }
            return Math.max(0, distance);
        }
    }

    private static void requireSameWidth(FeatureStatistics a, FeatureStatistics b) {
        if (a.width() != b.width()) {
            throw new IllegalArgumentException("The reference has " + a.width() + " features an image, the sample "
                    + b.width() + ". Both must come from the same network");
        }
    }

    /**
     * R^T of S1 = R^T R: Cholesky's factor, column by column. The next pivot is always the largest that is left; what is left
     * when it is rounding is nothing.
     */
    private static INDArray root(INDArray covariance) {
        int width = (int) covariance.size(0);
        double[][] rows = covariance.toDoubleMatrix();
        double[] left = new double[width]; // of the diagonal
        boolean[] taken = new boolean[width];
        for (int i = 0; i < width; i++) {
            left[i] = rows[i][i];
        }
        double[][] factor = new double[width][width]; // [F, rank]
        double negligible = -1;
        int rank = 0;
        while (rank < width) {
            int pivot = largest(left, taken);
            if (negligible < 0) {
                negligible = width * EPSILON * Math.max(0, left[pivot]);
            }
            if (left[pivot] <= negligible && rank > 0) {
                break;
            }
            taken[pivot] = true;
            double root = Math.sqrt(Math.max(0, left[pivot]));
            int column = rank++;
            factor[pivot][column] = root;
            if (root > 0) {
                IntStream.range(0, width).parallel().filter(i -> !taken[i]).forEach(i -> {
                    double value = (rows[i][pivot] - dot(factor[i], factor[pivot], column)) / root;
                    factor[i][column] = value;
                    left[i] -= value * value;
                });
            }
        }
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            return Nd4j.createFromArray(factor)
                    .get(NDArrayIndex.all(), NDArrayIndex.interval(0, rank))
                    .dup('f');
        }
    }

    private static int largest(double[] left, boolean[] taken) {
        int largest = -1;
        for (int i = 0; i < left.length; i++) {
            if (!taken[i] && (largest < 0 || left[i] > left[largest])) {
                largest = i;
            }
        }
        return largest;
    }

    /** Four sums: one alone would wait for each addition. */
    private static double dot(double[] x, double[] y, int length) {
        double a = 0;
        double b = 0;
        double c = 0;
        double d = 0;
        int i = 0;
        for (; i + 3 < length; i += 4) {
            a += x[i] * y[i];
            b += x[i + 1] * y[i + 1];
            c += x[i + 2] * y[i + 2];
            d += x[i + 3] * y[i + 3];
        }
        for (; i < length; i++) {
            a += x[i] * y[i];
        }
        return a + b + (c + d);
    }

    /** What rounding alone leaves of an eigenvalue that is 0. Its square root would count. */
    private static double negligible(double[] eigenvalues) {
        return eigenvalues.length * EPSILON * Math.max(0, eigenvalues[eigenvalues.length - 1]);
    }

    private static INDArray multiply(INDArray a, INDArray b, boolean transposeA) {
        long rows = transposeA ? a.size(1) : a.size(0);
        INDArray product = Nd4j.createUninitialized(DataType.DOUBLE, new long[] {rows, b.size(1)}, 'f');
        return Nd4j.gemm(a, b, product, transposeA, false, 1, 0);
    }

    /** Eigenvalues of a symmetric matrix in 'f' order, which is overwritten, in ascending order. */
    private static double[] eigenvalues(INDArray matrix) {
        if (matrix.length() == 1) {
            return new double[] {matrix.getDouble(0)};
        }
        INDArray values = Nd4j.create(DataType.DOUBLE, matrix.size(0));
        int status = Nd4j.getBlasWrapper().lapack().syev('N', 'L', matrix, values);
        if (status != 0) {
            throw new IllegalStateException("The eigenvalues of a covariance were not found (LAPACK's syev gave "
                    + status + "). Look for values in the features that are far too large");
        }
        return values.toDoubleVector();
    }

    private static double trace(INDArray matrix) {
        double trace = 0;
        for (long i = 0; i < matrix.size(0); i++) {
            trace += matrix.getDouble(i, i);
        }
        return trace;
    }
}
