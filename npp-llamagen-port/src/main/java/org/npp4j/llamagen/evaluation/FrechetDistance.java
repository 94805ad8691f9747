package org.npp4j.llamagen.evaluation;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The squared Fréchet distance of two normal distributions, which is the FID where they were fitted to the features of two
 * sets of images:
 *
 * <p>|m1 - m2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)).
 *
 * <p>S1 S2 is not symmetric, but has the eigenvalues of R S2 R^T with R = diag(sqrt(w)) V^T, where S1 = V diag(w) V^T. That
 * matrix is symmetric and has no negative eigenvalues, so tr sqrt(S1 S2) is the sum of the roots of what LAPACK's symmetric
 * solver gives. It holds for singular covariances too, those of fewer images than features, without adding anything to
 * their diagonals.
 *
 * <p>Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
 */
public final class FrechetDistance {
    /** Of two doubles next to each other, relative. */
    private static final double EPSILON = Math.ulp(1.0);

    private final FeatureStatistics reference;
    /** R^T = V diag(sqrt(w)), [F, rank]. */
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
            double[] eigenvalues = eigen(product, 'N');
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

    /** The eigenvectors whose eigenvalue is not rounding, each times its root. */
    private static INDArray root(INDArray covariance) {
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            INDArray vectors = covariance.dup('f');
            double[] eigenvalues = eigen(vectors, 'V');
            double negligible = negligible(eigenvalues);
            int width = eigenvalues.length;
            int skipped = 0; // they ascend
            while (skipped < width - 1 && eigenvalues[skipped] <= negligible) {
                skipped++;
            }
            INDArray root = Nd4j.create(DataType.DOUBLE, new long[] {width, width - skipped}, 'f');
            for (int i = skipped; i < width; i++) {
                root.putColumn(i - skipped, vectors.getColumn(i).mul(Math.sqrt(Math.max(0, eigenvalues[i]))));
            }
            return root;
        }
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

    /**
     * Eigenvalues of a symmetric matrix in ascending order.
     *
     * @param matrix 'f' order; overwritten, by the eigenvectors as columns if they are asked for
     * @param vectors V to compute them, N not to
     */
    private static double[] eigen(INDArray matrix, char vectors) {
        if (matrix.length() == 1) {
            double[] only = {matrix.getDouble(0)};
            matrix.assign(1);
            return only;
        }
        INDArray values = Nd4j.create(DataType.DOUBLE, matrix.size(0));
        int status = Nd4j.getBlasWrapper().lapack().syev(vectors, 'L', matrix, values);
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
