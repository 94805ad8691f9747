package org.npp4j.llamagen;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;

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

    /** ND4J's own reader of .npz refuses arrays of rank 0 and 1; its reader of .npy does not. */
    public static Map<String, INDArray> readNpz(File file) throws IOException {
        Map<String, INDArray> arrays = new TreeMap<>();
        try (ZipFile zip = new ZipFile(file)) {
            for (ZipEntry entry : Collections.list(zip.entries())) {
                byte[] npy = zip.getInputStream(entry).readAllBytes();
                arrays.put(entry.getName().replaceAll("\\.npy$", ""), Nd4j.createNpyFromByteArray(npy));
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
        Map<String, String> names = parameterNames();
        names.forEach((parameter, weight) -> network.getParam(parameter)
                .assign(inOurShape(parameter, weights.get(weight)).castTo(type)));
        return network;
    }

    /** Our parameter name to the published one. */
    public Map<String, String> parameterNames() {
        Map<String, String> names = new TreeMap<>();
        names.put(LlamaGen.TOKEN_EMBEDDING + "_" + TokenEmbedding.TABLE, "tok_embeddings.weight");
        if (spec().textConditional()) {
            String ours = LlamaGen.CAPTION_EMBEDDING + "_";
            names.put(ours + CaptionEmbedding.IN_WEIGHT, "cls_embedding.cap_proj.fc1.weight");
            names.put(ours + CaptionEmbedding.OUT_WEIGHT, "cls_embedding.cap_proj.fc2.weight");
            names.put(ours + CaptionEmbedding.UNCONDITIONAL, "cls_embedding.uncond_embedding");
        } else {
            names.put(LlamaGen.CLASS_EMBEDDING + "_" + TokenEmbedding.TABLE, "cls_embedding.embedding_table.weight");
        }
        for (int i = 0; i < spec().layers(); i++) {
            String ours = LlamaGen.block(i) + "_";
            String published = "layers." + i + ".";
            names.put(ours + TransformerBlock.QKV_WEIGHT, published + "attention.wqkv.weight");
            names.put(ours + TransformerBlock.OUT_WEIGHT, published + "attention.wo.weight");
            names.put(ours + TransformerBlock.GATE_WEIGHT, published + "feed_forward.w1.weight");
            names.put(ours + TransformerBlock.UP_WEIGHT, published + "feed_forward.w3.weight");
            names.put(ours + TransformerBlock.DOWN_WEIGHT, published + "feed_forward.w2.weight");
            names.put(ours + TransformerBlock.ATTENTION_GAIN, published + "attention_norm.weight");
            names.put(ours + TransformerBlock.FEED_FORWARD_GAIN, published + "ffn_norm.weight");
        }
        names.put(LlamaGen.NORM + "_gain", "norm.weight");
        names.put(LlamaGen.OUTPUT + "_W", "output.weight");
        return names;
    }

    /** PyTorch keeps a linear layer's weight as [out, in]. */
    public INDArray inOurShape(String parameter, INDArray published) {
        boolean linear = published.rank() == 2
                && !parameter.endsWith(TokenEmbedding.TABLE)
                && !parameter.endsWith(CaptionEmbedding.UNCONDITIONAL);
        return linear ? published.transpose() : published;
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
