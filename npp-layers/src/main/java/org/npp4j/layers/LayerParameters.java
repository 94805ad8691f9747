package org.npp4j.layers;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.random.impl.GaussianDistribution;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Lays the parameters of a {@link ParameterLayer} out in the network's flat vectors and initialises them. */
final class LayerParameters implements ParamInitializer {
    static final LayerParameters INSTANCE = new LayerParameters();

    private LayerParameters() {}

    private static List<LayerParameter> of(Layer layer) {
        return ((ParameterLayer) layer).parameters();
    }

    @Override
    public long numParams(NeuralNetConfiguration conf) {
        return numParams(conf.getLayer());
    }

    @Override
    public long numParams(Layer layer) {
        return of(layer).stream().mapToLong(LayerParameter::length).sum();
    }

    @Override
    public List<String> paramKeys(Layer layer) {
        return of(layer).stream().map(LayerParameter::name).collect(Collectors.toList());
    }

    @Override
    public List<String> weightKeys(Layer layer) {
        return paramKeys(layer).stream()
                .filter(key -> isWeightParam(layer, key))
                .collect(Collectors.toList());
    }

    @Override
    public List<String> biasKeys(Layer layer) {
        return paramKeys(layer).stream().filter(key -> isBiasParam(layer, key)).collect(Collectors.toList());
    }

    /** What takes weight decay counts as a weight; gains, being neither weight nor bias here, take none. */
    @Override
    public boolean isWeightParam(Layer layer, String key) {
        return of(layer).stream().anyMatch(parameter -> parameter.name().equals(key) && parameter.decayed());
    }

    @Override
    public boolean isBiasParam(Layer layer, String key) {
        return of(layer).stream()
                .anyMatch(parameter -> parameter.name().equals(key) && parameter.kind() == LayerParameter.Kind.BIAS);
    }

    @Override
    public Map<String, INDArray> init(NeuralNetConfiguration conf, INDArray paramsView, boolean initializeParams) {
        ParameterLayer layer = (ParameterLayer) conf.getLayer();
        Map<String, INDArray> segments = segments(layer, paramsView);
        for (LayerParameter parameter : layer.parameters()) {
            conf.addVariable(parameter.name());
            if (initializeParams) {
                initialize(layer, parameter, segments.get(parameter.name()));
            }
        }
        return shaped(layer, segments);
    }

    private static void initialize(ParameterLayer layer, LayerParameter parameter, INDArray segment) {
        long[] shape = parameter.shape();
        switch (parameter.kind()) {
            case GAIN -> segment.assign(1);
            case BIAS -> segment.assign(layer.getBiasInit());
            case ZERO_WEIGHT -> segment.assign(0);
            case UNIT_TABLE, FIXED_UNIT_TABLE -> Nd4j.exec(
                    new GaussianDistribution(segment, 0, 1 / Math.sqrt(shape[1])));
            default -> layer.getWeightInitFn().init(shape[0], shape[1], shape, parameter.order(), segment);
        }
    }

    @Override
    public Map<String, INDArray> getGradientsFromFlattened(NeuralNetConfiguration conf, INDArray gradientView) {
        ParameterLayer layer = (ParameterLayer) conf.getLayer();
        return shaped(layer, segments(layer, gradientView));
    }

    private static Map<String, INDArray> segments(ParameterLayer layer, INDArray flat) {
        INDArray vector = flat.reshape(flat.length());
        Map<String, INDArray> segments = new LinkedHashMap<>();
        long offset = 0;
        for (LayerParameter parameter : layer.parameters()) {
            long end = offset + parameter.length();
            segments.put(parameter.name(), vector.get(NDArrayIndex.interval(offset, end)));
            offset = end;
        }
        return segments;
    }

    private static Map<String, INDArray> shaped(ParameterLayer layer, Map<String, INDArray> segments) {
        Map<String, INDArray> views = new LinkedHashMap<>();
        for (LayerParameter parameter : layer.parameters()) {
            INDArray segment = segments.get(parameter.name());
            views.put(parameter.name(), segment.reshape(parameter.order(), parameter.shape()));
        }
        return views;
    }
}
