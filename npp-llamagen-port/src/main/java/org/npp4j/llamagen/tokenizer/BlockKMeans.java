package org.npp4j.llamagen.tokenizer;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * k-means over pixel blocks: k-means++ seeding, then Lloyd's rounds.
 *
 * <p>Equal blocks (many are plain background) count as one point with a weight, which changes nothing but the time. Codes
 * are 8-bit blocks: a mean, rounded to the nearest integers, is the best of these, so the error still falls in every
 * round. All sums are integers: the same seed gives the same codes on any machine with any number of threads.
 */
final class BlockKMeans {
    private final int values;
    private final byte[] points;
    private final long[] weights;

    /**
     * @param blocks [blocks x D] unsigned bytes
     * @param values D
     */
    BlockKMeans(byte[] blocks, int values) {
        Map<ByteBuffer, long[]> distinct = new LinkedHashMap<>();
        for (int i = 0; i < blocks.length; i += values) {
            distinct.computeIfAbsent(ByteBuffer.wrap(blocks, i, values).slice(), block -> new long[1])[0]++;
        }
        this.values = values;
        this.points = new byte[distinct.size() * values];
        this.weights = new long[distinct.size()];
        int n = 0;
        for (Map.Entry<ByteBuffer, long[]> entry : distinct.entrySet()) {
            entry.getKey().get(0, points, n * values, values);
            weights[n++] = entry.getValue()[0];
        }
    }

    /** How many different blocks there are. */
    int distinctBlocks() {
        return weights.length;
    }

    /**
     * @param count V, at most the number of distinct blocks
     * @return codes [V x D]
     */
    byte[] train(int count, int iterations, Random random, BlockCodebook.Progress progress) {
        byte[] codes = seed(count, random);
        int[] nearest = new int[weights.length];
        int[] squaredDistance = new int[weights.length];
        long weight = Arrays.stream(weights).sum();
        for (int iteration = 0; ; iteration++) {
            new NearestCode(codes, values).find(points, nearest, squaredDistance);
            double error = (double) weightedSum(squaredDistance) / weight / values / (255.0 * 255.0);
            progress.iteration(iteration, iterations, error);
            if (iteration == iterations) {
                return codes;
            }
            byte[] means = means(codes, nearest, squaredDistance);
            if (Arrays.equals(means, codes)) {
                return codes;
            }
            codes = means;
        }
    }

    /** k-means++: each further code is a point drawn with probability weight x squared distance to the codes so far. */
    private byte[] seed(int count, Random random) {
        byte[] codes = new byte[count * values];
        int[] squaredDistance = new int[weights.length];
        Arrays.fill(squaredDistance, 1);
        for (int code = 0; code < count; code++) {
            int chosen = draw(squaredDistance, random);
            System.arraycopy(points, chosen * values, codes, code * values, values);
            boolean first = code == 0;
            IntStream.range(0, weights.length).parallel().forEach(n -> {
                int distance = squaredDistance(n, chosen);
                squaredDistance[n] = first ? distance : Math.min(squaredDistance[n], distance);
            });
        }
        return codes;
    }

    private int draw(int[] squaredDistance, Random random) {
        long rest = (long) (random.nextDouble() * weightedSum(squaredDistance));
        int n = 0;
        while (rest >= weights[n] * squaredDistance[n]) {
            rest -= weights[n] * squaredDistance[n];
            n++;
        }
        return n;
    }

    /**
     * Mean of each code's points. A code without points moves to the point that is coded worst, whose distance becomes 0.
     */
    byte[] means(byte[] codes, int[] nearest, int[] squaredDistance) {
        int count = codes.length / values;
        long[] sums = new long[codes.length];
        long[] weight = new long[count];
        for (int n = 0; n < weights.length; n++) {
            weight[nearest[n]] += weights[n];
            for (int d = 0; d < values; d++) {
                sums[nearest[n] * values + d] += weights[n] * (points[n * values + d] & 0xff);
            }
        }
        byte[] means = codes.clone();
        for (int code = 0; code < count; code++) {
            if (weight[code] == 0) {
                int worst = worst(squaredDistance);
                squaredDistance[worst] = 0;
                System.arraycopy(points, worst * values, means, code * values, values);
                continue;
            }
            for (int i = code * values; i < (code + 1) * values; i++) {
                means[i] = (byte) ((2 * sums[i] + weight[code]) / (2 * weight[code]));
            }
        }
        return means;
    }

    private int worst(int[] squaredDistance) {
        int worst = 0;
        for (int n = 1; n < weights.length; n++) {
            if (weights[n] * squaredDistance[n] > weights[worst] * squaredDistance[worst]) {
                worst = n;
            }
        }
        return worst;
    }

    private long weightedSum(int[] squaredDistance) {
        return IntStream.range(0, weights.length)
                .mapToLong(n -> weights[n] * squaredDistance[n])
                .sum();
    }

    private int squaredDistance(int n, int m) {
        int sum = 0;
        for (int d = 0; d < values; d++) {
            int difference = (points[n * values + d] & 0xff) - (points[m * values + d] & 0xff);
            sum += difference * difference;
        }
        return sum;
    }
}
