package org.npp4j.ecar.baseline;

import java.util.Arrays;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Generates latents with a {@link Dit}: Euler steps at the times 0, 1/n, .., (n - 1)/n, velocity = free + (conditional - free) x
 * scale, where "free" is that of "no class". With guidance each image runs twice in one batch. Not safe for use by several
 * threads.
 */
public final class DitSampler {
    private final DitConfig config;
    private final ComputationGraph network;

    /**
     * A sampler of a network, whose parameters are used as they are at each call.
     *
     * @param config the model
     * @param network built by {@link Dit} for it, initialised
     * @throws IllegalArgumentException if the network has another number of parameters
     */
    public DitSampler(DitConfig config, ComputationGraph network) {
        if (network.params().length() != config.parameters()) {
            throw new IllegalArgumentException(
                    "The network has " + network.params().length() + " parameters, but a Dit of this configuration "
                            + config.parameters());
        }
        this.config = config;
        this.network = network;
    }

    /**
     * One latent for each class.
     *
     * @param classes [B], ids from 0; the number of classes stands for "no class"
     * @param steps n, at least 1
     * @param scale of the guidance, at least 0; 1 for none
     * @param noise unit normal [B, C, G, G]
     * @return latents [B, C, G, G]
     * @throws IllegalArgumentException if a class is unknown, or steps, scale or the noise's shape are not as said
     */
    public INDArray generate(int[] classes, int steps, double scale, INDArray noise) {
        if (steps < 1 || !(scale >= 0 && scale < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "There must be at least one step and a finite guidance scale of at least 0 (1 = none), got " + steps
                            + " and " + scale);
        }
        if (classes.length == 0 || Arrays.stream(classes).anyMatch(id -> id < 0 || id > config.classes())) {
            throw new IllegalArgumentException("There must be at least one class, each 0 .. " + config.classes()
                    + ", where " + config.classes() + " is \"no class\", got " + Arrays.toString(classes));
        }
        if (noise.size(0) != classes.length) {
            throw new IllegalArgumentException(
                    "There must be noise for " + classes.length + " images, got " + Arrays.toString(noise.shape()));
        }
        DataType type = network.params().dataType();
        INDArray state = Dit.tokens(config, noise.castTo(type));
        int batch = classes.length;
        boolean guided = scale != 1;
        int[][] ids = new int[guided ? 2 * batch : batch][1];
        for (int i = 0; i < ids.length; i++) {
            ids[i][0] = i < batch ? classes[i] : config.classes();
        }
        INDArray conditions = Nd4j.createFromArray(ids);
        for (int step = 0; step < steps; step++) {
            INDArray times = Nd4j.valueArrayOf(new long[] {ids.length, 1, 1}, (double) step / steps, type);
            INDArray states = guided ? Nd4j.concat(0, state, state) : state;
            INDArray velocity = network.output(conditions, times, states)[0];
            if (guided) {
                INDArray free = rows(velocity, batch, 2 * batch);
                velocity = rows(velocity, 0, batch).sub(free).muli(scale).addi(free);
            }
            state.addi(velocity.reshape('c', state.shape()).muli(1.0 / steps));
        }
        return Dit.latents(config, state);
    }

    private static INDArray rows(INDArray array, int from, int to) {
        return array.get(NDArrayIndex.interval(from, to), NDArrayIndex.all());
    }
}
