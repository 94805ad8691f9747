package org.npp4j.schedule;

import java.util.Map;
import java.util.Objects;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.GradientUpdater;
import org.npp4j.layers.kernel.Kernels;

/** The run-time half of {@link TorchAdam}: turns gradients into updates in place. Networks make it themselves. */
public final class TorchAdamUpdater implements GradientUpdater<TorchAdam> {
    /** Name of the running mean of gradients in the state. */
    public static final String M_STATE = "M";
    /** Name of the running mean of squared gradients in the state. */
    public static final String V_STATE = "V";

    private final TorchAdam config;
    private INDArray m;
    private INDArray v;

    TorchAdamUpdater(TorchAdam config) {
        this.config = config;
    }

    @Override
    public TorchAdam getConfig() {
        return config;
    }

    @Override
    public void setState(Map<String, INDArray> stateMap, boolean initialize) {
        if (stateMap.size() != 2 || !stateMap.containsKey(M_STATE) || !stateMap.containsKey(V_STATE)) {
            throw new IllegalStateException(
                    "The state of TorchAdam is " + M_STATE + " and " + V_STATE + ", got " + stateMap.keySet());
        }
        m = stateMap.get(M_STATE);
        v = stateMap.get(V_STATE);
    }

    @Override
    public Map<String, INDArray> getState() {
        return Map.of(M_STATE, m, V_STATE, v);
    }

    /** The view holds m, then v, each of the gradient's length. */
    @Override
    public void setStateViewArray(INDArray viewArray, long[] gradientShape, char gradientOrder, boolean initialize) {
        if (initialize) {
            viewArray.assign(0);
        }
        INDArray flat = viewArray.reshape(viewArray.length());
        long half = flat.length() / 2;
        m = flat.get(NDArrayIndex.interval(0, half)).reshape(gradientOrder, gradientShape);
        v = flat.get(NDArrayIndex.interval(half, 2 * half)).reshape(gradientOrder, gradientShape);
    }

    /**
     * Replaces a gradient by what the network subtracts from its parameters.
     *
     * @param gradient as long as m
     * @param iteration steps before this one
     * @param epoch for the learning rate
     */
    @Override
    public void applyUpdater(INDArray gradient, int iteration, int epoch) {
        Objects.requireNonNull(m, "TorchAdam has no state yet: call setStateViewArray first");
        Kernels.of(v.dataType()).adam(gradient.reshape(v.ordering(), v.shape()), m, v, config.step(iteration, epoch));
    }
}
