package org.npp4j.llamagen.evaluation;

import java.util.SplittableRandom;
import java.util.function.DoubleConsumer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** Scores samples against a reference: all that the features allow. */
public final class Evaluation {
    /** Two-sided, 95 % of a normal distribution, in standard deviations. */
    private static final double INTERVAL = 1.959964;

    private Evaluation() {}

    /**
     * How scores are computed.
     *
     * @param split images of a split of the Inception score, at least 1
     * @param neighbours k of precision and recall, at least 1
     * @param resamplings sets drawn from the samples for intervals; 0 for none, else at least 2
     * @param seed of these draws
     */
    public record Settings(int split, int neighbours, int resamplings, long seed) {
        /**
         * Checks the numbers.
         *
         * @param split at least 1
         * @param neighbours at least 1
         * @param resamplings 0, or at least 2
         * @param seed any
         * @throws IllegalArgumentException if one is not so
         */
        public Settings {
            if (split < 1 || neighbours < 1 || resamplings < 0 || resamplings == 1) {
                throw new IllegalArgumentException(
                        "Splits and neighbours must be at least 1, resamplings 0 or at least 2; got " + split + ", "
                                + neighbours + " and " + resamplings);
            }
        }

        /** {@return those of published scores: splits of 5000, 3 neighbours, no intervals} */
        public static Settings published() {
            return new Settings(InceptionScore.SPLIT, PrecisionRecall.NEIGHBOURS, 0, 0);
        }
    }

    /**
     * What the samples are compared with.
     *
     * @param statistics of its features
     * @param spatialStatistics of its spatial features; null without them
     * @param features of each image; null if statistics are all there is
     */
    public record Reference(FeatureStatistics statistics, FeatureStatistics spatialStatistics, Features features) {
        /**
         * A reference of images.
         *
         * @param images what a network saw in them
         * @return it
         * @throws IllegalArgumentException if there are fewer than two images
         */
        public static Reference of(SeenImages images) {
            return new Reference(
                    FeatureStatistics.of(images.features()),
                    images.spatialStatistics().orElse(null),
                    images.features());
        }
    }

    /**
     * A score.
     *
     * @param value the score
     * @param margin half the 95 % interval around it, NaN if it was not computed
     */
    public record Score(double value, double margin) {
        private static Score of(double value) {
            return new Score(value, Double.NaN);
        }
    }

    /**
     * The scores; null for what the features do not allow.
     *
     * @param fid Fréchet distance of the features
     * @param sfid Fréchet distance of the spatial features
     * @param inceptionScore of the class probabilities
     * @param precision share of the samples within the reference
     * @param recall share of the reference within the samples
     */
    public record Scores(Score fid, Score sfid, Score inceptionScore, Score precision, Score recall) {}

    /**
     * Scores samples.
     *
     * <p>Intervals, if asked for, are 1.96 standard deviations of the score over sets drawn with replacement from the
     * samples (within each split) on either side. A drawn set has fewer different images, which raises its distance; the
     * spread is not affected much, so it is taken around the score itself. Recall and sFID have no interval.
     *
     * @param reference what to compare with
     * @param sample the samples
     * @param settings how
     * @param progress told the share of the work on neighbours and intervals that is done, 0 to 1
     * @return the scores
     * @throws IllegalArgumentException if widths differ or there are too few images
     */
    public static Scores score(Reference reference, SeenImages sample, Settings settings, DoubleConsumer progress) {
        FrechetDistance distance = new FrechetDistance(reference.statistics());
        Score fid = Score.of(distance.to(FeatureStatistics.of(sample.features())));
        FeatureStatistics spatial = sample.spatialStatistics().orElse(null);
        Score sfid = spatial == null || reference.spatialStatistics() == null
                ? null
                : Score.of(FrechetDistance.between(reference.spatialStatistics(), spatial));
        Features probabilities = sample.probabilities().orElse(null);
        Score inception = probabilities == null ? null : Score.of(inceptionScore(probabilities, settings.split()));
        PrecisionRecall neighbours = reference.features() == null
                ? null
                : PrecisionRecall.of(
                        reference.features(),
                        sample.features(),
                        settings.neighbours(),
                        settings.resamplings() == 0 ? progress : done -> progress.accept(done / 2));
        Score precision = neighbours == null ? null : Score.of(neighbours.precision());
        Score recall = neighbours == null ? null : Score.of(neighbours.recall());
        if (settings.resamplings() > 0) {
            Resampling resampling = new Resampling(distance, sample, neighbours, settings);
            resampling.run(done -> progress.accept(neighbours == null ? done : 0.5 + done / 2));
            fid = new Score(fid.value(), resampling.margin(resampling.fids));
            inception =
                    inception == null ? null : new Score(inception.value(), resampling.margin(resampling.inceptions));
            precision =
                    precision == null ? null : new Score(precision.value(), resampling.margin(resampling.precisions));
        }
        return new Scores(fid, sfid, inception, precision, recall);
    }

    /** The Inception score of probabilities, [N, C]. */
    private static double inceptionScore(Features probabilities, int split) {
        InceptionScore score = new InceptionScore(split);
        for (int block = 0; block < probabilities.blocks(); block++) {
            score.add(probabilities.block(block));
        }
        return score.value();
    }

    /** Scores of sets that are drawn from the samples. */
    private static final class Resampling {
        final double[] fids;
        final double[] inceptions;
        final double[] precisions;
        private final FrechetDistance distance;
        private final SeenImages sample;
        private final PrecisionRecall neighbours;
        private final Settings settings;

        Resampling(FrechetDistance distance, SeenImages sample, PrecisionRecall neighbours, Settings settings) {
            this.distance = distance;
            this.sample = sample;
            this.neighbours = neighbours;
            this.settings = settings;
            fids = new double[settings.resamplings()];
            inceptions = new double[settings.resamplings()];
            precisions = new double[settings.resamplings()];
        }

        void run(DoubleConsumer progress) {
            SplittableRandom random = new SplittableRandom(settings.seed());
            for (int i = 0; i < fids.length; i++) {
                int[] repeats = draw(sample.features().images(), settings.split(), random);
                fids[i] = fid(repeats);
                inceptions[i] = sample.probabilities().isPresent() ? inceptionScore(repeats, random) : Double.NaN;
                precisions[i] = neighbours == null ? Double.NaN : precision(repeats);
                progress.accept((i + 1.0) / fids.length);
            }
        }

        /** How often each image was drawn; every split keeps its size. */
        private static int[] draw(int images, int split, SplittableRandom random) {
            int[] repeats = new int[images];
            for (int from = 0; from < images; from += split) {
                int size = Math.min(split, images - from);
                for (int i = 0; i < size; i++) {
                    repeats[from + random.nextInt(size)]++;
                }
            }
            return repeats;
        }

        private double fid(int[] repeats) {
            Features features = sample.features();
            FeatureStatistics.Accumulator accumulator = new FeatureStatistics.Accumulator(features.width());
            for (int block = 0; block < features.blocks(); block++) {
                INDArray rows = features.block(block);
                double[] counts = new double[(int) rows.size(0)];
                for (int i = 0; i < counts.length; i++) {
                    counts[i] = repeats[features.start(block) + i];
                }
                accumulator.add(rows, Nd4j.createFromArray(counts));
            }
            return distance.to(accumulator.statistics());
        }

        private double inceptionScore(int[] ofFeatures, SplittableRandom random) {
            Features probabilities = sample.probabilities().orElseThrow();
            // given probabilities may be those of other images than the features
            int[] repeats = probabilities.images() == ofFeatures.length
                    ? ofFeatures
                    : draw(probabilities.images(), settings.split(), random);
            InceptionScore score = new InceptionScore(settings.split());
            for (int block = 0; block < probabilities.blocks(); block++) {
                double[][] rows =
                        probabilities.block(block).castTo(DataType.DOUBLE).toDoubleMatrix();
                for (int i = 0; i < rows.length; i++) {
                    score.add(rows[i], repeats[probabilities.start(block) + i]);
                }
            }
            return score.value();
        }

        private double precision(int[] repeats) {
            int within = 0;
            for (int i = 0; i < repeats.length; i++) {
                within += neighbours.isPrecise(i) ? repeats[i] : 0;
            }
            return within / (double) repeats.length;
        }

        double margin(double[] scores) {
            double mean = 0;
            for (double score : scores) {
                mean += score / scores.length;
            }
            double variance = 0;
            for (double score : scores) {
                variance += (score - mean) * (score - mean) / (scores.length - 1);
            }
            return INTERVAL * Math.sqrt(variance);
        }
    }
}
