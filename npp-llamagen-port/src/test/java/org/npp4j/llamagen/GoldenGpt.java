package org.npp4j.llamagen;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.checkpoint.GptParameter;
import org.npp4j.llamagen.checkpoint.GptParameters;
import org.npp4j.llamagen.files.NpzFile;

/** A small GPT with known weights, and what PyTorch computes with it. */
public final class GoldenGpt {
    private final JsonNode info;
    private final Map<String, INDArray> weights;
    private final Map<String, INDArray> arrays;

    public GoldenGpt(String name) {
        try {
            info = new ObjectMapper().readTree(resource(name + ".json"));
            weights = readNpz(resource(name + "-weights.npz"));
            arrays = readNpz(resource(name + ".npz"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static Map<String, INDArray> readNpz(File file) throws IOException {
        Map<String, INDArray> arrays = new TreeMap<>();
        try (NpzFile npz = NpzFile.open(file.toPath())) {
            for (String name : npz.names()) {
                arrays.put(name, npz.array(name));
            }
        }
        return arrays;
    }

    public static File resource(String name) {
        try {
            return new File(GoldenGpt.class.getResource("/golden/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    public JsonNode info() {
        return info;
    }

    public INDArray array(String name) {
        return arrays.get(name);
    }

    public Map<String, INDArray> arrays() {
        return arrays;
    }

    public GptSpec spec() {
        return GptConfig.parse(info.toString()).spec();
    }

    public ComputationGraph network(LlamaGen builder, DataType type) {
        ComputationGraph network = builder.dataType(type).init();
        loadInto(network);
        return network;
    }

    public void loadInto(ComputationGraph network) {
        for (GptParameter parameter : parameters()) {
            INDArray ours = parameter.published(network.getParam(parameter.networkName()));
            ours.assign(weights.get(parameter.name()).castTo(ours.dataType()));
        }
    }

    public List<GptParameter> parameters() {
        return GptParameters.of(spec());
    }

    /** Our parameter name to the published one. */
    public Map<String, String> parameterNames() {
        Map<String, String> names = new TreeMap<>();
        parameters().forEach(parameter -> names.put(parameter.networkName(), parameter.name()));
        return names;
    }

    /** PyTorch keeps a linear layer's weight as [out, in]. */
    public INDArray inOurShape(String networkName, INDArray published) {
        boolean transposed = parameters().stream()
                .anyMatch(parameter -> parameter.networkName().equals(networkName) && parameter.transposed());
        return transposed ? published.transpose() : published;
    }

    /** The largest difference relative to the largest expected value (absolute if all expected values are 0). */
    public static double relativeDifference(INDArray expected, INDArray actual) {
        INDArray wide = expected.castTo(DataType.DOUBLE);
        double difference =
                wide.sub(actual.castTo(DataType.DOUBLE)).amaxNumber().doubleValue();
        double largest = wide.amaxNumber().doubleValue();
        return largest == 0 ? difference : difference / largest;
    }
}
