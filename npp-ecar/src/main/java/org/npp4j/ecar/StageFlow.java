package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedList;
import java.util.List;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * The multistage flow: from noise to a latent over maps of growing resolution. In stage s the state runs on a straight line
 * from its start, which holds {@link NoiseWindows#start} of noise, to its end, which holds {@link NoiseWindows#end}; both ends
 * have the same noise. The velocity to learn is end - start.
 *
 * <p>From the end of a stage, whose share of noise is e, the next one starts at
 *
 * <p>alpha up(end) + beta b(z), alpha = 1 / (1 + e), beta = sqrt(3) e / (1 + e), b(z) = sqrt(4/3) (z - up(pool(z))),
 *
 * <p>with pool the mean of 2 x 2 neighbours, up their repetition and z unit normal. Repetition makes the noise of neighbours
 * equal; b sums to 0 over each 2 x 2 block, and this amount of it makes the noise unit normal and uncorrelated again.
 *
 * <p>In training, the noise of a stage is what that renoising made of the noise of the stage before: the states are exactly
 * those that sampling passes, if the velocities are right.
 *
 * <p>Reconstruction: pyramidal flow matching (arXiv 2410.05954) in the form that fits the abstract of ECAR (arXiv
 * 2412.14170); the coupling of the training chain is this project's own.
 *
 * <p>Maps are [B, C, side, side] of any floating point type.
 */
public final class StageFlow {
    private static final double BLOCK_NOISE = Math.sqrt(4.0 / 3);

    private final NoiseWindows windows;

    /**
     * A flow of these stages.
     *
     * @param stages S, at least 1
     */
    public StageFlow(int stages) {
        windows = NoiseWindows.of(stages);
    }

    /**
     * The two ends of a stage.
     *
     * @param start [B, C, side, side]
     * @param end [B, C, side, side]
     */
    public record Ends(INDArray start, INDArray end) {}

    /** {@return shares of noise} */
    public NoiseWindows windows() {
        return windows;
    }

    /**
     * The mean of 2 x 2 neighbours.
     *
     * @param map [B, C, 2 h, 2 w]
     * @return [B, C, h, w]
     */
    public static INDArray pool(INDArray map) {
        requireMap(map);
        if (map.size(2) % 2 != 0 || map.size(3) % 2 != 0) {
            throw new IllegalArgumentException(
                    "Only maps of even sides can be halved, got " + Arrays.toString(map.shape()));
        }
        // [B, C, 2 h, 2 w] -> [B, C, h, 2, w, 2] -> [B, C, h, w]
        return map.dup('c')
                .reshape('c', map.size(0), map.size(1), map.size(2) / 2, 2, map.size(3) / 2, 2)
                .mean(3, 5);
    }

    /**
     * Repeats every position as 2 x 2.
     *
     * @param map [B, C, h, w]
     * @return [B, C, 2 h, 2 w]
     */
    public static INDArray up(INDArray map) {
        requireMap(map);
        long[] split = {map.size(0), map.size(1), map.size(2), 2, map.size(3), 2};
        INDArray raised = Nd4j.createUninitialized(map.dataType(), split, 'c');
        for (int y = 0; y < 2; y++) {
            for (int x = 0; x < 2; x++) {
                raised.get(
                                NDArrayIndex.all(),
                                NDArrayIndex.all(),
                                NDArrayIndex.all(),
                                NDArrayIndex.point(y),
                                NDArrayIndex.all(),
                                NDArrayIndex.point(x))
                        .assign(map);
            }
        }
        return raised.reshape('c', map.size(0), map.size(1), 2 * map.size(2), 2 * map.size(3));
    }

    /**
     * Noise that sums to 0 over each 2 x 2 block: b(z).
     *
     * @param z [B, C, 2 h, 2 w], unit normal
     * @return the same shape
     */
    public static INDArray blockNoise(INDArray z) {
        return z.sub(up(pool(z))).muli(BLOCK_NOISE);
    }

    /**
     * Where a stage starts.
     *
     * @param end [B, C, h, w], the state at the end of the stage before
     * @param left e, its share of noise
     * @param z [B, C, 2 h, 2 w], unit normal
     * @return [B, C, 2 h, 2 w]
     */
    public static INDArray nextStart(INDArray end, double left, INDArray z) {
        return up(end).muli(1 / (1 + left)).addi(blockNoise(z).muli(Math.sqrt(3) * left / (1 + left)));
    }

    /**
     * A latent at the resolution of each stage.
     *
     * @param latents [B, C, G, G]
     * @return S maps, coarse to fine
     * @throws IllegalArgumentException if the sides cannot be halved so often
     */
    public List<INDArray> pyramid(INDArray latents) {
        LinkedList<INDArray> maps = new LinkedList<>();
        maps.add(latents);
        while (maps.size() < windows.stages()) {
            maps.addFirst(pool(maps.getFirst()));
        }
        return maps;
    }

    /**
     * The ends of all stages for a batch.
     *
     * @param latents [B, C, G, G]
     * @param noise S unit normal maps, coarse to fine
     * @return S pairs, coarse to fine
     * @throws IllegalArgumentException if the noise has other shapes than the stages
     */
    public List<Ends> chain(INDArray latents, List<INDArray> noise) {
        List<INDArray> maps = pyramid(latents);
        requireShapes(maps, noise);
        List<Ends> chain = new ArrayList<>();
        for (int s = 0; s < maps.size(); s++) {
            double a = windows.start(s);
            double e = windows.end(s);
            INDArray start;
            INDArray ofStage;
            if (s == 0) {
                start = noise.get(0);
                ofStage = start;
            } else {
                start = nextStart(chain.get(s - 1).end(), windows.end(s - 1), noise.get(s));
                // start = (1 - a) up(coarser latent) + a noise
                ofStage = start.sub(up(maps.get(s - 1)).muli(1 - a)).divi(a);
            }
            chain.add(new Ends(start, ofStage.mul(e).addi(maps.get(s).mul(1 - e))));
        }
        return chain;
    }

    private static void requireShapes(List<INDArray> maps, List<INDArray> noise) {
        boolean fits = noise.size() == maps.size();
        for (int s = 0; fits && s < maps.size(); s++) {
            fits = Arrays.equals(maps.get(s).shape(), noise.get(s).shape());
        }
        if (!fits) {
            throw new IllegalArgumentException(
                    "The noise must have the shapes of the stages, " + shapes(maps) + ", but has " + shapes(noise));
        }
    }

    private static List<String> shapes(List<INDArray> maps) {
        return maps.stream().map(map -> Arrays.toString(map.shape())).toList();
    }

    /**
     * A map as a sequence in raster order.
     *
     * @param map [B, C, h, w]
     * @return [B, h x w, C] in 'c' order
     */
    public static INDArray tokens(INDArray map) {
        requireMap(map);
        return map.permute(0, 2, 3, 1).dup('c').reshape('c', map.size(0), map.size(2) * map.size(3), map.size(1));
    }

    /**
     * The way back from {@link #tokens}.
     *
     * @param tokens [B, side x side, C]
     * @param side of the map
     * @return [B, C, side, side] in 'c' order
     */
    public static INDArray map(INDArray tokens, int side) {
        return tokens.dup('c')
                .reshape('c', tokens.size(0), side, side, tokens.size(2))
                .permute(0, 3, 1, 2)
                .dup('c');
    }

    private static void requireMap(INDArray map) {
        if (map.rank() != 4) {
            throw new IllegalArgumentException(
                    "A map is [batch, channels, height, width], got " + Arrays.toString(map.shape()));
        }
    }
}
