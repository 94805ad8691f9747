package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.GroupNorm;
import org.npp4j.layers.ImageConvolution;
import org.npp4j.layers.ResidualBlock;
import org.npp4j.layers.SpatialSelfAttention;

/**
 * A convolutional encoder or decoder in a Deeplearning4j graph: one layer for each {@link AutoencoderModule}, one after
 * another.
 */
final class AutoencoderChain {
    private static final List<String> RESIDUAL_KEYS = List.of(
            ResidualBlock.NORM_GAIN_1,
            ResidualBlock.NORM_BIAS_1,
            ResidualBlock.WEIGHT_1,
            ResidualBlock.BIAS_1,
            ResidualBlock.NORM_GAIN_2,
            ResidualBlock.NORM_BIAS_2,
            ResidualBlock.WEIGHT_2,
            ResidualBlock.BIAS_2,
            ResidualBlock.SHORTCUT_WEIGHT,
            ResidualBlock.SHORTCUT_BIAS);
    private static final List<String> ATTENTION_KEYS = List.of(
            SpatialSelfAttention.NORM_GAIN,
            SpatialSelfAttention.NORM_BIAS,
            SpatialSelfAttention.QUERY_WEIGHT,
            SpatialSelfAttention.QUERY_BIAS,
            SpatialSelfAttention.KEY_WEIGHT,
            SpatialSelfAttention.KEY_BIAS,
            SpatialSelfAttention.VALUE_WEIGHT,
            SpatialSelfAttention.VALUE_BIAS,
            SpatialSelfAttention.OUT_WEIGHT,
            SpatialSelfAttention.OUT_BIAS);

    private static final String INPUT = "input";

    private AutoencoderChain() {}

    /**
     * Adds the layers of modules to a graph.
     *
     * @param graph to add them to
     * @param modules in execution order
     * @param groups of every group norm
     * @param input the vertex before the first of them
     * @return the name of the last
     */
    static String add(
            ComputationGraphConfiguration.GraphBuilder graph,
            List<AutoencoderModule> modules,
            int groups,
            String input) {
        String last = input;
        for (AutoencoderModule module : modules) {
            graph.addLayer(vertex(module), layer(module, groups), last);
            last = vertex(module);
        }
        return last;
    }

    /**
     * A network of these modules alone, for images or latents of any size.
     *
     * @param modules in execution order
     * @param groups of every group norm
     * @param seed of its weights
     * @param random whether weights are drawn as PyTorch draws them; otherwise all are 0, to be set
     * @return the network
     */
    static ComputationGraph network(List<AutoencoderModule> modules, int groups, long seed, boolean random) {
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed)
                .dataType(DataType.FLOAT)
                .weightInit(WeightInit.UNIFORM)
                .graphBuilder()
                .addInputs(INPUT);
        graph.setOutputs(add(graph, modules, groups, INPUT));
        ComputationGraph network = new ComputationGraph(graph.build());
        // an array of zeros saves drawing random numbers
        network.init(random ? null : Nd4j.create(DataType.FLOAT, 1, AutoencoderModule.parameters(modules)), false);
        return network;
    }

    /** Deeplearning4j takes what follows the first underscore of a parameter's name for its key. */
    static String vertex(AutoencoderModule module) {
        return module.name().replace('_', '-');
    }

    private static Layer layer(AutoencoderModule module, int groups) {
        return switch (module.kind()) {
            case CONVOLUTION -> new ImageConvolution.Builder(3)
                    .nIn(module.in())
                    .nOut(module.out())
                    .build();
            case POINTWISE -> new ImageConvolution.Builder(1)
                    .nIn(module.in())
                    .nOut(module.out())
                    .build();
            case DOWNSAMPLING -> new ImageConvolution.Builder(3)
                    .stride(2)
                    .padding(0, 0, 1, 1)
                    .nIn(module.in())
                    .nOut(module.out())
                    .build();
            case UPSAMPLING -> new ImageConvolution.Builder(3)
                    .upsample(true)
                    .nIn(module.in())
                    .nOut(module.out())
                    .build();
            case RESIDUAL -> new ResidualBlock.Builder(groups)
                    .epsilon(VqConfig.EPSILON)
                    .nIn(module.in())
                    .nOut(module.out())
                    .build();
            case ATTENTION -> new SpatialSelfAttention.Builder(groups)
                    .epsilon(VqConfig.EPSILON)
                    .nIn(module.in())
                    .build();
            case NORM -> new GroupNorm.Builder(groups)
                    .epsilon(VqConfig.EPSILON)
                    .swish(true)
                    .nIn(module.in())
                    .build();
        };
    }

    /**
     * The parameters of modules in a network.
     *
     * @param network with the layers of these modules
     * @param modules the modules
     * @return published name -> view of the published shape
     */
    static Map<String, INDArray> weights(ComputationGraph network, List<AutoencoderModule> modules) {
        Map<String, INDArray> weights = new LinkedHashMap<>();
        for (AutoencoderModule module : modules) {
            org.deeplearning4j.nn.api.Layer layer = network.getLayer(vertex(module));
            Iterator<String> keys = keys(module).iterator();
            module.shapes().forEach((name, shape) -> weights.put(name, published(layer.getParam(keys.next()), shape)));
        }
        return weights;
    }

    /** Keys of its parameters, in the order of {@link AutoencoderModule#shapes()}. */
    private static List<String> keys(AutoencoderModule module) {
        return switch (module.kind()) {
            case CONVOLUTION, POINTWISE, DOWNSAMPLING, UPSAMPLING -> List.of(
                    ImageConvolution.WEIGHT, ImageConvolution.BIAS);
            case RESIDUAL -> RESIDUAL_KEYS;
            case ATTENTION -> ATTENTION_KEYS;
            case NORM -> List.of(GroupNorm.GAIN, GroupNorm.BIAS);
        };
    }

    /** A parameter in the published shape: [k k in, out] in 'f' order -> [out, in, k, k]. */
    private static INDArray published(INDArray parameter, long[] shape) {
        if (shape.length == 1) {
            return parameter.reshape(shape);
        }
        if (parameter.ordering() != 'f' && parameter.size(0) > 1 && parameter.size(1) > 1) {
            throw new IllegalStateException("A convolution's weight must be in 'f' order, but "
                    + Arrays.toString(parameter.shape()) + " is not");
        }
        // [k k in, out] -> [out, k k in] -> [out, k, k, in] -> [out, in, k, k], all views of the same numbers
        return parameter
                .transpose()
                .reshape('c', true, shape[0], shape[2], shape[3], shape[1])
                .permute(0, 3, 1, 2);
    }

    /** The numbers of an array in row order. */
    static float[] floats(INDArray array) {
        INDArray rows = array.dup('c');
        float[] floats = new float[Math.toIntExact(rows.length())];
        Nd4j.getExecutioner().commit();
        Nd4j.getAffinityManager().ensureLocation(rows, Location.HOST);
        rows.data().asNioFloat().get(floats);
        rows.close();
        return floats;
    }
}
