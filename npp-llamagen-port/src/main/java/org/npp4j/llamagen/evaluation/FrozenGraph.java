package org.npp4j.llamagen.evaluation;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.enums.WeightsFormat;
import org.nd4j.imports.graphmapper.tf.tensors.TFTensorMappers;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.image.ResizeBilinear;
import org.nd4j.linalg.api.ops.impl.layers.convolution.config.Conv2DConfig;
import org.nd4j.linalg.api.ops.impl.layers.convolution.config.PaddingMode;
import org.nd4j.linalg.api.ops.impl.layers.convolution.config.Pooling2DConfig;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.protobuf.InvalidProtocolBufferException;
import org.tensorflow.framework.AttrValue;
import org.tensorflow.framework.GraphDef;
import org.tensorflow.framework.NodeDef;

/**
 * A frozen TensorFlow graph of convolutions, of which a part becomes a SameDiff graph.
 *
 * <p>The node operations are translated here, because ND4J's importers have no rule for Concat, DecodeJpeg and
 * BatchNormWithGlobalNormalization, and their Conv2D does not run on graphs of 2015, which lack later attributes:
 *
 * <ul>
 *   <li>what comes before the input (reading and decoding a file) is left out, and the input becomes a placeholder
 *   <li>BatchNormWithGlobalNormalization, (x - mean) / sqrt(variance + epsilon) * gamma + beta, behind a convolution becomes
 *       its weights' scale and its bias; gamma counts only if scale_after_normalization is set
 *   <li>checks of numbers, and the control dependencies that hold them, are left out
 * </ul>
 */
final class FrozenGraph {
    private static final String CONVOLUTION = "Conv2D";
    private static final String NORMALIZATION = "BatchNormWithGlobalNormalization";
    private static final String CHANNELS_LAST = "NHWC";

    private final Path file;
    private final Map<String, NodeDef> nodes = new LinkedHashMap<>();

    private FrozenGraph(Path file, GraphDef graph) {
        this.file = file;
        graph.getNodeList().forEach(node -> nodes.put(node.getName(), node));
    }

    /** Reads a .pb file. */
    static FrozenGraph read(Path file) throws IOException {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file))) {
            return new FrozenGraph(file, GraphDef.parseFrom(in));
        } catch (InvalidProtocolBufferException e) {
            FileSystemException failure = new FileSystemException(
                    file.toString(),
                    null,
                    "it is no frozen TensorFlow graph, or it is damaged (" + e.getMessage() + ")");
            failure.initCause(e);
            throw failure;
        }
    }

    /** The node of this name. */
    NodeDef node(String name) throws FileSystemException {
        NodeDef node = nodes.get(name);
        if (node == null) {
            throw failure("the graph has no node \"" + name + "\"");
        }
        return node;
    }

    /** The value of a constant, directly or behind identities. */
    INDArray constant(String value) throws FileSystemException {
        NodeDef node = source(value);
        if (!node.getOp().equals("Const")) {
            throw failure("node \"" + node.getName() + "\" is no constant but a " + node.getOp()
                    + ". Freeze the graph first");
        }
        return TFTensorMappers.newMapper(node.getAttrOrThrow("value").getTensor())
                .toNDArray();
    }

    /** The node of a value, such as "name" or "name:0", past nodes that only hand it on. */
    private NodeDef source(String value) throws FileSystemException {
        NodeDef node = node(operation(value));
        while (node.getOp().equals("Identity") || node.getOp().equals("CheckNumerics")) {
            node = node(operation(node.getInput(0)));
        }
        return node;
    }

    private static String operation(String value) {
        int colon = value.indexOf(':');
        return colon < 0 ? value : value.substring(0, colon);
    }

    /** The inputs that carry values, not control dependencies. */
    private static List<String> inputs(NodeDef node) {
        return node.getInputList().stream()
                .filter(name -> !name.startsWith("^"))
                .toList();
    }

    /**
     * The part of the graph between an input and outputs.
     *
     * @param input a node whose value is given from outside, float [n, H, W, channels]
     * @param channels of the input
     * @param outputs nodes to compute
     * @return a graph with a placeholder of the input's name and variables of the outputs' names
     */
    SameDiff between(String input, int channels, String... outputs) throws FileSystemException {
        SameDiff graph = SameDiff.create();
        Map<String, SDVariable> done = new HashMap<>();
        done.put(node(input).getName(), graph.placeHolder(input, DataType.FLOAT, -1, -1, -1, channels));
        for (String output : outputs) {
            Deque<NodeDef> open = new ArrayDeque<>(List.of(source(output)));
            while (!open.isEmpty()) {
                NodeDef node = open.peek();
                List<NodeDef> missing = new ArrayList<>();
                for (String value : variables(node)) {
                    NodeDef from = source(value);
                    if (!done.containsKey(from.getName())) {
                        missing.add(from);
                    }
                }
                if (missing.isEmpty()) {
                    open.pop();
                    // two nodes may have asked for it
                    if (!done.containsKey(node.getName())) {
                        done.put(node.getName(), translate(graph, node, done));
                    }
                } else {
                    missing.forEach(open::push);
                }
            }
        }
        return graph;
    }

    /** The inputs that are no constants to be read when the node is translated. */
    private List<String> variables(NodeDef node) throws FileSystemException {
        List<String> from = inputs(node);
        return switch (node.getOp()) {
            case CONVOLUTION, "ResizeBilinear", "Relu", "MaxPool", "AvgPool", "Sub", "Mul", "Add" -> from.subList(0, 1);
            case NORMALIZATION -> {
                NodeDef convolution = source(from.get(0));
                if (!convolution.getOp().equals(CONVOLUTION)) {
                    throw failure("node \"" + node.getName() + "\" (" + NORMALIZATION + ") normalizes a "
                            + convolution.getOp() + ", where a " + CONVOLUTION + " is expected");
                }
                yield inputs(convolution).subList(0, 1);
            }
            case "Concat" -> from.subList(1, from.size());
            case "ConcatV2" -> from.subList(0, from.size() - 1);
            default -> throw failure("node \"" + node.getName() + "\" is a " + node.getOp()
                    + ", which this import does not know. It reads the InceptionV3 graph of 2015");
        };
    }

    private SDVariable translate(SameDiff graph, NodeDef node, Map<String, SDVariable> done)
            throws FileSystemException {
        String name = node.getName();
        List<String> from = inputs(node);
        SDVariable[] x = new SDVariable[variables(node).size()];
        for (int i = 0; i < x.length; i++) {
            x[i] = done.get(source(variables(node).get(i)).getName());
        }
        return switch (node.getOp()) {
            case "ResizeBilinear" -> {
                INDArray size = constant(from.get(1));
                SDVariable resized = new ResizeBilinear(
                                graph,
                                x[0],
                                size.getInt(0),
                                size.getInt(1),
                                flag(node, "align_corners"),
                                flag(node, "half_pixel_centers"))
                        .outputVariable();
                yield graph.updateVariableNameAndReference(resized, name);
            }
            case "Sub" -> x[0].sub(name, graph.constant(constant(from.get(1))));
            case "Mul" -> x[0].mul(name, graph.constant(constant(from.get(1))));
            case "Add" -> x[0].add(name, graph.constant(constant(from.get(1))));
            case "Relu" -> graph.nn().relu(name, x[0], 0);
            case "MaxPool" -> graph.cnn().maxPooling2d(name, x[0], pooling(node));
            case "AvgPool" -> graph.cnn().avgPooling2d(name, x[0], pooling(node));
            case "Concat" -> graph.concat(name, constant(from.get(0)).getInt(0), x);
            case "ConcatV2" -> graph.concat(
                    name, constant(from.get(from.size() - 1)).getInt(0), x);
            case CONVOLUTION -> {
                SDVariable weight = graph.constant(name + "/weight", constant(from.get(1)));
                yield graph.cnn().conv2d(name, x[0], weight, convolution(node));
            }
            default -> normalized(graph, node, x[0]);
        };
    }

    /** A convolution and its normalization. */
    private SDVariable normalized(SameDiff graph, NodeDef node, SDVariable x) throws FileSystemException {
        List<String> from = inputs(node);
        if (from.size() != 5) {
            throw failure("node \"" + node.getName() + "\" (" + NORMALIZATION + ") has " + from.size()
                    + " inputs instead of 5");
        }
        NodeDef convolution = source(from.get(0));
        INDArray mean = constant(from.get(1));
        INDArray variance = constant(from.get(2));
        INDArray beta = constant(from.get(3));
        INDArray gamma = constant(from.get(4));
        double epsilon = node.getAttrOrThrow("variance_epsilon").getF();
        boolean scaled = flag(node, "scale_after_normalization");
        double[] scale = new double[(int) mean.length()];
        double[] shift = new double[scale.length];
        for (int c = 0; c < scale.length; c++) {
            scale[c] = (scaled ? gamma.getDouble(c) : 1) / Math.sqrt(variance.getDouble(c) + epsilon);
            shift[c] = beta.getDouble(c) - mean.getDouble(c) * scale[c];
        }
        INDArray weight = constant(inputs(convolution).get(1)); // [h, w, in, out]
        long[] shape = weight.shape().clone();
        INDArray columns = weight.castTo(DataType.DOUBLE)
                .dup('c')
                .reshape('c', weight.length() / scale.length, scale.length)
                .muliRowVector(Nd4j.createFromArray(scale));
        String name = node.getName();
        return graph.cnn()
                .conv2d(
                        name,
                        x,
                        graph.constant(
                                name + "/weight", columns.castTo(DataType.FLOAT).reshape('c', shape)),
                        graph.constant(
                                name + "/bias", Nd4j.createFromArray(shift).castTo(DataType.FLOAT)),
                        convolution(convolution));
    }

    private Conv2DConfig convolution(NodeDef node) throws FileSystemException {
        INDArray weight = constant(inputs(node).get(1));
        List<Long> strides = lengths(node, "strides");
        return Conv2DConfig.builder()
                .kH(weight.size(0))
                .kW(weight.size(1))
                .sH(strides.get(1))
                .sW(strides.get(2))
                .paddingMode(padding(node))
                .dataFormat(CHANNELS_LAST)
                .weightsFormat(WeightsFormat.YXIO)
                .build();
    }

    private Pooling2DConfig pooling(NodeDef node) throws FileSystemException {
        List<Long> sizes = lengths(node, "ksize");
        List<Long> strides = lengths(node, "strides");
        return Pooling2DConfig.builder()
                .kH(sizes.get(1))
                .kW(sizes.get(2))
                .sH(strides.get(1))
                .sW(strides.get(2))
                .paddingMode(padding(node))
                .isNHWC(true)
                .build();
    }

    /** One number for each axis of [n, H, W, channels]. */
    private List<Long> lengths(NodeDef node, String name) throws FileSystemException {
        AttrValue format = node.getAttrMap().get("data_format");
        if (format != null && !format.getS().toStringUtf8().equals(CHANNELS_LAST)) {
            throw failure("node \"" + node.getName() + "\" has the layout "
                    + format.getS().toStringUtf8() + "; only " + CHANNELS_LAST + " can be read");
        }
        List<Long> lengths = node.getAttrOrThrow(name).getList().getIList();
        if (lengths.size() != 4) {
            throw failure("node \"" + node.getName() + "\" has " + name + " " + lengths + " instead of 4 numbers");
        }
        return lengths;
    }

    private PaddingMode padding(NodeDef node) throws FileSystemException {
        String padding = node.getAttrOrThrow("padding").getS().toStringUtf8();
        return switch (padding) {
            case "SAME" -> PaddingMode.SAME;
            case "VALID" -> PaddingMode.VALID;
            default -> throw failure(
                    "node \"" + node.getName() + "\" has padding " + padding + "; only SAME and VALID can be read");
        };
    }

    private static boolean flag(NodeDef node, String name) {
        return node.containsAttr(name) && node.getAttrOrThrow(name).getB();
    }

    private FileSystemException failure(String reason) {
        return new FileSystemException(file.toString(), null, reason);
    }
}
