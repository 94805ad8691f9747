package org.npp4j.layers.impl;

import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.regularization.Regularization;
import org.nd4j.linalg.learning.regularization.WeightDecay;
import org.npp4j.layers.kernel.Kernels;

/**
 * What regularisation adds to the score of a layer. The same as Deeplearning4j computes at every step, but the squares of
 * the weights, which for weight decay are read for this number alone, are summed in one fused pass.
 */
public final class RegularizationScore {
    private RegularizationScore() {}

    /**
     * The sum over all parameters of what their regularisation adds.
     *
     * @param layer with its parameters
     * @return 0 if nothing is regularised
     */
    public static double of(BaseLayer<?> layer) {
        double sum = 0;
        for (Map.Entry<String, INDArray> parameter : layer.paramTable().entrySet()) {
            List<Regularization> regularizations = layer.layerConf().getRegularizationByParam(parameter.getKey());
            if (regularizations == null) {
                continue;
            }
            INDArray values = parameter.getValue();
            for (Regularization regularization : regularizations) {
                // a subclass may score in another way
                sum += regularization.getClass() == WeightDecay.class
                        ? ((WeightDecay) regularization)
                                        .getCoeff()
                                        .valueAt(layer.getIterationCount(), layer.getEpochCount())
                                * 0.5
                                * Kernels.of(values.dataType()).sumOfSquares(values)
                        : regularization.score(values, layer.getIterationCount(), layer.getEpochCount());
            }
        }
        return sum;
    }
}
