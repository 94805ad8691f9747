package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/** What regularisation adds to the score is what its definition says. */
class RegularizationScoreTest {
    private static final double DECAY = 0.1;
    private static final double L2 = 0.3;
    private static final double L1 = 0.2;

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void sumsDecayAndPenalties(DataType type) {
        TokenGrid grid = TokenGrid.of(2, 2);
        TransformerBlock.Builder decayed = new TransformerBlock.Builder(grid, 2, 12).nIn(8);
        decayed.weightDecay(DECAY, true);
        TransformerBlock.Builder penalised = new TransformerBlock.Builder(grid, 2, 12).nIn(8);
        penalised.l2(L2);
        penalised.l1(L1);
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .dataType(type)
                .seed(1)
                .list()
                .layer(decayed.build())
                .layer(penalised.build())
                .layer(new GlobalPoolingLayer())
                .layer(new OutputLayer.Builder().nIn(8).nOut(3).build())
                .setInputType(InputType.recurrent(8, 4, RNNFormat.NWC))
                .build());
        network.init();

        double expected = 0;
        for (String name : new String[] {"0", "1"}) {
            for (String key :
                    network.getLayer(Integer.parseInt(name)).paramTable().keySet()) {
                if (key.equals(TransformerBlock.ATTENTION_GAIN) || key.equals(TransformerBlock.FEED_FORWARD_GAIN)) {
                    continue;
                }
                INDArray values = network.getParam(name + "_" + key).castTo(DataType.DOUBLE);
                double squares = values.mul(values).sumNumber().doubleValue();
                expected += name.equals("0")
                        ? 0.5 * DECAY * squares
                        : 0.5 * L2 * squares + L1 * values.norm1Number().doubleValue();
            }
        }
        assertEquals(
                expected, network.calcRegularizationScore(true), (type == DataType.FLOAT ? 1e-5 : 1e-10) * expected);
    }
}
