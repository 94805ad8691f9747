package org.npp4j.llamagen.evaluation;

import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.function.DoubleConsumer;
import java.util.stream.IntStream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.kernel.Products;

/**
 * Improved precision and recall: the share of the samples within the reference, and of the reference within the samples. A
 * point is within a set if it is no farther from one of its points than that point's k-th nearest neighbour in the set.
 *
 * <p>All pairs are looked at block by block: N^2 distances are never kept. A product of matrices in float gives
 * |x|^2 - 2 x y + |y|^2 of all pairs of two blocks, less what rounding can have added; only where that bound leaves a
 * question, the distance is computed in double as sum_f (x_f - y_f)^2. So the answer is that of double arithmetic without
 * cancellation, in the time of float products.
 *
 * <p>Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019.
 */
public final class PrecisionRecall {
    /** k of published scores. */
    public static final int NEIGHBOURS = 3;

    private final BitSet precise;
    private final BitSet recalled;
    private final int samples;
    private final int references;

    private PrecisionRecall(BitSet precise, int samples, BitSet recalled, int references) {
        this.precise = precise;
        this.samples = samples;
        this.recalled = recalled;
        this.references = references;
    }

    /**
     * Precision and recall with k = 3.
     *
     * @param reference features of the reference
     * @param sample features of the samples
     * @return the shares
     * @throws IllegalArgumentException see {@link #of(Features, Features, int, DoubleConsumer)}
     */
    public static PrecisionRecall of(Features reference, Features sample) {
        return of(reference, sample, NEIGHBOURS, done -> {});
    }

    /**
     * Precision and recall.
     *
     * @param reference features of the reference
     * @param sample features of the samples
     * @param neighbours k; a point itself does not count
     * @param progress told the share of the work that is done, 0 to 1
     * @return the shares
     * @throws IllegalArgumentException if the widths differ, k is below 1, or a set has no more than k images
     */
    public static PrecisionRecall of(Features reference, Features sample, int neighbours, DoubleConsumer progress) {
        if (reference.width() != sample.width()) {
            throw new IllegalArgumentException("The reference has " + reference.width()
                    + " features an image, the sample " + sample.width() + ". Both must come from the same network");
        }
        if (neighbours < 1) {
            throw new IllegalArgumentException("At least 1 neighbour is needed, got " + neighbours);
        }
        int fewest = Math.min(reference.images(), sample.images());
        if (fewest <= neighbours) {
            throw new IllegalArgumentException("Precision and recall with " + neighbours
                    + " neighbours need at least " + (neighbours + 1) + " images in each set, got "
                    + reference.images() + " of the reference and " + sample.images() + " samples");
        }
        double n = reference.images();
        double m = sample.images();
        double pairs = n * n / 2 + m * m / 2 + n * m;
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces();
                Pairs all = new Pairs(reference, sample, done -> progress.accept(Math.min(1, done / pairs)))) {
            double[] referenceRadii = all.radii(reference, neighbours);
            double[] sampleRadii = all.radii(sample, neighbours);
            BitSet precise = new BitSet(sample.images());
            BitSet recalled = new BitSet(reference.images());
            all.cover(referenceRadii, sampleRadii, precise, recalled);
            return new PrecisionRecall(precise, sample.images(), recalled, reference.images());
        }
    }

    /** {@return the share of the samples within the reference, 0 to 1} */
    public double precision() {
        return precise.cardinality() / (double) samples;
    }

    /** {@return the share of the reference within the samples, 0 to 1} */
    public double recall() {
        return recalled.cardinality() / (double) references;
    }

    /**
     * Whether a sample is within the reference.
     *
     * @param sample its index
     * @return whether it is
     */
    public boolean isPrecise(int sample) {
        return precise.get(sample);
    }

    /**
     * Whether an image of the reference is within the samples.
     *
     * @param image its index
     * @return whether it is
     */
    public boolean isRecalled(int image) {
        return recalled.get(image);
    }

    /** Goes through the pairs of rows of two sets, block by block. */
    private static final class Pairs implements AutoCloseable {
        private final Features reference;
        private final Features sample;
        private final DoubleConsumer progress;
        private final INDArray centre;
        private final INDArray exact;
        private final INDArray[] centred = new INDArray[2];
        private final float[] referenceNorms;
        private final float[] sampleNorms;
        private INDArray products;
        private float[] inHeap = new float[0];
        private double done;

        Pairs(Features reference, Features sample, DoubleConsumer progress) {
            this.reference = reference;
            this.sample = sample;
            this.progress = progress;
            int width = reference.width();
            int rows =
                    (int) Math.max(reference.block(0).size(0), sample.block(0).size(0));
            // Distances do not depend on the origin, but rounding does: it is least near the points.
            centre = Nd4j.create(DataType.DOUBLE, width);
            exact = Nd4j.createUninitialized(DataType.DOUBLE, rows, width);
            centred[0] = Nd4j.createUninitialized(DataType.FLOAT, rows, width);
            centred[1] = Nd4j.createUninitialized(DataType.FLOAT, rows, width);
            INDArray mean = Nd4j.create(DataType.DOUBLE, width);
            for (int block = 0; block < reference.blocks(); block++) {
                mean.addi(centre(reference, block).sum(0));
            }
            centre.assign(mean.divi(reference.images()));
            referenceNorms = leastNorms(reference);
            sampleNorms = leastNorms(sample);
        }

        /** The rows of a block, less the centre: a view that lasts until the next call. */
        private INDArray centre(Features set, int block) {
            INDArray rows = set.block(block);
            return first(exact, rows.size(0)).assign(rows).subiRowVector(centre);
        }

        private static INDArray first(INDArray array, long rows) {
            return rows == array.size(0) ? array : array.get(NDArrayIndex.interval(0, rows), NDArrayIndex.all());
        }

        /**
         * What every row must at least add to a distance: its squared norm, less its part of what can be rounded off. A sum
         * of F products in float is off by at most (F + small) 2^-24 |x| |y|, and 4 |x| |y| <= 2 (|x|^2 + |y|^2); doubled
         * for what the subtraction of the centre, the norms and the last sum round.
         */
        private float[] leastNorms(Features set) {
            double slack = 2 * (set.width() + 16) * 0x1p-24;
            float[] norms = new float[set.images()];
            for (int block = 0; block < set.blocks(); block++) {
                INDArray rows = centre(set, block);
                double[] squared = rows.muli(rows).sum(1).toDoubleVector();
                for (int i = 0; i < squared.length; i++) {
                    norms[set.start(block) + i] = (float) ((1 - slack) * squared[i]);
                }
            }
            return norms;
        }

        /** One block of a set: as it is, and centred, with what each row must at least add to a distance. */
        private final class Side {
            final int start;
            final Features.Rows rows;
            final INDArray centred;
            final float[] leastNorms;

            Side(Features set, int block, INDArray memory) {
                start = set.start(block);
                rows = set.rows(block);
                INDArray values = centre(set, block);
                centred = first(memory, values.size(0)).assign(values); // [n, F]
                leastNorms = Arrays.copyOfRange(
                        set == reference ? referenceNorms : sampleNorms, start, start + (int) values.size(0));
            }

            int count() {
                return leastNorms.length;
            }
        }

        /** Products of all pairs: element i + n j belongs to row i of one and row j of the other side. */
        private float[] multiply(Side a, Side b) {
            int length = a.count() * b.count();
            if (products == null || products.size(0) != a.count() || products.size(1) != b.count()) {
                if (products != null) {
                    products.close();
                }
                products = Nd4j.createUninitialized(DataType.FLOAT, new long[] {a.count(), b.count()}, 'f');
            }
            // [n, F] x [F, m] -> [n, m], in single precision whatever networks compute in
            Products.linearOfFewRows(a.centred, b.centred.transpose(), products);
            Nd4j.getExecutioner().commit();
            Nd4j.getAffinityManager().ensureLocation(products, Location.HOST);
            if (inHeap.length < length) {
                inHeap = new float[length];
            }
            products.data().asNioFloat().get(inHeap, 0, length);
            return inHeap;
        }

        private void progress(double pairs) {
            done += pairs;
            progress.accept(done);
        }

        /** The squared distance of every row of a set to its k-th nearest neighbour. */
        double[] radii(Features set, int neighbours) {
            Nearest nearest = new Nearest(set.images(), neighbours);
            for (int first = 0; first < set.blocks(); first++) {
                Side a = new Side(set, first, centred[0]);
                visit(nearest, a, a, multiply(a, a));
                progress(a.count() * (double) a.count() / 2);
                for (int second = first + 1; second < set.blocks(); second++) {
                    Side b = new Side(set, second, centred[1]);
                    visit(nearest, a, b, multiply(a, b));
                    progress(a.count() * (double) b.count());
                }
            }
            return nearest.farthest();
        }

        /**
         * Looks at the pairs of two blocks; at each pair once if they are the same block, and at no row with itself. Threads
         * share the columns; what each finds is merged, so that the result does not depend on their number.
         */
        private static void visit(Nearest nearest, Side a, Side b, float[] products) {
            inParts(b.count(), (from, to) -> new Candidates(nearest, a, b).visit(products, from, to))
                    .forEach(candidates -> candidates.mergeInto(nearest));
        }

        /** Marks the samples within the reference, and the reference within the samples. */
        void cover(double[] referenceRadii, double[] sampleRadii, BitSet precise, BitSet recalled) {
            for (int first = 0; first < reference.blocks(); first++) {
                Side a = new Side(reference, first, centred[0]);
                for (int second = 0; second < sample.blocks(); second++) {
                    Side b = new Side(sample, second, centred[1]);
                    cover(a, b, multiply(a, b), referenceRadii, sampleRadii, precise, recalled);
                    progress(a.count() * (double) b.count());
                }
            }
        }

        private static void cover(
                Side a,
                Side b,
                float[] products,
                double[] referenceRadii,
                double[] sampleRadii,
                BitSet precise,
                BitSet recalled) {
            inParts(b.count(), (from, to) -> {
                        Covered covered = new Covered(a, b, precise, recalled);
                        covered.look(products, referenceRadii, sampleRadii, from, to);
                        return covered;
                    })
                    .forEach(covered -> covered.mergeInto(precise, recalled));
        }

        /** A part of the columns of a block. */
        @FunctionalInterface
        private interface Part<T> {
            T of(int from, int to);
        }

        /** Does the parts at the same time; their results are in their order. */
        private static <T> List<T> inParts(int count, Part<T> part) {
            int parts = Math.min(count, Runtime.getRuntime().availableProcessors());
            return IntStream.range(0, parts)
                    .parallel()
                    .mapToObj(i -> part.of((int) ((long) count * i / parts), (int) ((long) count * (i + 1) / parts)))
                    .toList();
        }

        @Override
        public void close() {
            centre.close();
            exact.close();
            centred[0].close();
            centred[1].close();
            if (products != null) {
                products.close();
            }
        }
    }

    /** The k smallest squared distances of every row so far. */
    private static final class Nearest {
        private final int neighbours;
        /** Ascending for each row. */
        private final double[] distances;

        Nearest(int rows, int neighbours) {
            this.neighbours = neighbours;
            distances = new double[Math.multiplyExact(rows, neighbours)];
            Arrays.fill(distances, Double.POSITIVE_INFINITY);
        }

        /** What a distance must be below to count for a row; 0 cannot become less. */
        double reach(int row) {
            double farthest = distances[(row + 1) * neighbours - 1];
            // else every pair of a set of equal images would be looked at
            return farthest == 0 ? Double.NEGATIVE_INFINITY : farthest;
        }

        double[] of(int row) {
            return Arrays.copyOfRange(distances, row * neighbours, (row + 1) * neighbours);
        }

        void offer(int row, double distance) {
            int first = row * neighbours;
            int at = first + neighbours - 1;
            if (distance >= distances[at]) {
                return;
            }
            while (at > first && distances[at - 1] > distance) {
                distances[at] = distances[at - 1];
                at--;
            }
            distances[at] = distance;
        }

        double[] farthest() {
            double[] farthest = new double[distances.length / neighbours];
            Arrays.setAll(farthest, row -> distances[(row + 1) * neighbours - 1]);
            return farthest;
        }
    }

    /** The nearest neighbours that one thread finds for the rows of two blocks. */
    private static final class Candidates {
        private final Pairs.Side a;
        private final Pairs.Side b;
        private final Nearest ofA;
        private final Nearest ofB;
        /** What a distance must be below to count, of each row of a. Rounded up: it only chooses what is looked at. */
        private final float[] reachA;

        private final float[] reachB;

        Candidates(Nearest sofar, Pairs.Side a, Pairs.Side b) {
            this.a = a;
            this.b = b;
            ofA = new Nearest(a.count(), sofar.neighbours);
            ofB = a == b ? ofA : new Nearest(b.count(), sofar.neighbours);
            reachA = reaches(sofar, a);
            reachB = a == b ? reachA : reaches(sofar, b);
        }

        private static float[] reaches(Nearest sofar, Pairs.Side side) {
            float[] reaches = new float[side.count()];
            for (int i = 0; i < reaches.length; i++) {
                reaches[i] = Math.nextUp((float) sofar.reach(side.start + i));
            }
            return reaches;
        }

        /** Columns from one to another. */
        Candidates visit(float[] products, int from, int to) {
            int n = a.count();
            float[] norms = a.leastNorms;
            for (int j = from; j < to; j++) {
                int end = a == b ? j : n;
                float norm = b.leastNorms[j];
                for (int i = 0; i < end; i++) {
                    float least = norms[i] + norm - 2f * products[i + n * j];
                    if (least < reachA[i] || least < reachB[j]) {
                        double distance = a.rows.squaredDistance(i, b.rows, j);
                        offer(ofA, reachA, i, distance);
                        offer(ofB, reachB, j, distance);
                    }
                }
            }
            return this;
        }

        private static void offer(Nearest nearest, float[] reaches, int row, double distance) {
            nearest.offer(row, distance);
            reaches[row] = Math.min(reaches[row], Math.nextUp((float) nearest.reach(row)));
        }

        void mergeInto(Nearest all) {
            merge(ofA, a, all);
            if (a != b) {
                merge(ofB, b, all);
            }
        }

        private static void merge(Nearest found, Pairs.Side side, Nearest all) {
            for (int i = 0; i < side.count(); i++) {
                for (double distance : found.of(i)) {
                    all.offer(side.start + i, distance);
                }
            }
        }
    }

    /** The rows of two blocks that one thread finds within the other set. */
    private static final class Covered {
        private final Pairs.Side a;
        private final Pairs.Side b;
        private final boolean[] isRecalled;
        private final boolean[] isPrecise;

        Covered(Pairs.Side a, Pairs.Side b, BitSet precise, BitSet recalled) {
            this.a = a;
            this.b = b;
            isRecalled = new boolean[a.count()];
            isPrecise = new boolean[b.count()];
            for (int i = 0; i < isRecalled.length; i++) {
                isRecalled[i] = recalled.get(a.start + i);
            }
            for (int j = 0; j < isPrecise.length; j++) {
                isPrecise[j] = precise.get(b.start + j);
            }
        }

        /** Columns from one to another. What is known to be within a set needs no further distance. */
        void look(float[] products, double[] referenceRadii, double[] sampleRadii, int from, int to) {
            int n = a.count();
            float[] limits = new float[n];
            float[] norms = a.leastNorms;
            for (int i = 0; i < n; i++) {
                limits[i] = Math.nextUp((float) referenceRadii[a.start + i]);
            }
            for (int j = from; j < to; j++) {
                float norm = b.leastNorms[j];
                double sampleRadius = sampleRadii[b.start + j];
                float limit = Math.nextUp((float) sampleRadius);
                for (int i = 0; i < n; i++) {
                    float least = norms[i] + norm - 2f * products[i + n * j];
                    if (!isPrecise[j] && least <= limits[i] || !isRecalled[i] && least <= limit) {
                        double distance = a.rows.squaredDistance(i, b.rows, j);
                        isPrecise[j] |= distance <= referenceRadii[a.start + i];
                        isRecalled[i] |= distance <= sampleRadius;
                    }
                }
            }
        }

        void mergeInto(BitSet precise, BitSet recalled) {
            for (int i = 0; i < isRecalled.length; i++) {
                recalled.set(a.start + i, recalled.get(a.start + i) || isRecalled[i]);
            }
            for (int j = 0; j < isPrecise.length; j++) {
                precise.set(b.start + j, precise.get(b.start + j) || isPrecise[j]);
            }
        }
    }
}
