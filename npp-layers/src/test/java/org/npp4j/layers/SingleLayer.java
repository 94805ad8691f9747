package org.npp4j.layers;

import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** A layer outside a network, with arrays outside workspaces. */
final class SingleLayer {
    static final LayerWorkspaceMgr NO_WORKSPACES = LayerWorkspaceMgr.noWorkspaces();

    private SingleLayer() {}

    /** The run-time half, with every parameter drawn at random, gains included, so that a test sees each of them. */
    static Layer of(org.deeplearning4j.nn.conf.layers.Layer layer, DataType type, long seed) {
        Nd4j.getRandom().setSeed(seed);
        NeuralNetConfiguration configuration = new NeuralNetConfiguration.Builder()
                .seed(seed)
                .dataType(type)
                .weightInit(new NormalDistribution(0, 0.4))
                .layer(layer)
                .build();
        long length = configuration.getLayer().initializer().numParams(configuration);
        INDArray parameters = Nd4j.create(type, 1, length);
        Layer runtime = configuration.getLayer().instantiate(configuration, List.of(), 0, parameters, true, type);
        runtime.setBackpropGradientsViewArray(Nd4j.create(type, 1, length));
        runtime.paramTable().forEach((key, array) -> {
            if (array.rank() == 1) {
                array.assign(Nd4j.rand(type, array.shape()).addi(0.5));
            }
        });
        return runtime;
    }

    static INDArray forward(Layer layer, INDArray input, boolean training) {
        layer.setInput(input, NO_WORKSPACES);
        return layer.activate(training, NO_WORKSPACES);
    }

    /** [a, b, c] normal values. */
    static double[][][] values(Random random, int a, int b, int c) {
        double[][][] values = new double[a][b][c];
        for (double[][] matrix : values) {
            for (double[] row : matrix) {
                for (int i = 0; i < c; i++) {
                    row[i] = random.nextGaussian();
                }
            }
        }
        return values;
    }

    static double largestDifference(double[][][] expected, INDArray actual) {
        INDArray want = Nd4j.createFromArray(expected);
        if (!want.equalShapes(actual)) {
            throw new AssertionError("expected " + want.shapeInfoToString() + ", got " + actual.shapeInfoToString());
        }
        return want.subi(actual.castTo(DataType.DOUBLE)).amaxNumber().doubleValue();
    }
}
