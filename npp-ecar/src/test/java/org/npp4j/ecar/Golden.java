package org.npp4j.ecar;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.NpzFile;

/** The golden files: see the README beside them. */
final class Golden {

    private Golden() {}

    static Path file(String name) {
        try {
            return Path.of(Golden.class.getResource("/golden/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    static NpzFile arrays(String name) throws IOException {
        return NpzFile.open(file(name + ".npz"));
    }

    static EcarConfig config(String name) throws IOException {
        return EcarConfig.read(file(name + ".json"));
    }

    /** The golden network. */
    static ComputationGraph network(String name) throws IOException {
        ComputationGraph network = Ecar.of(config(name)).init();
        EcarCheckpoint.load(file(name + ".pt"), config(name), network);
        return network;
    }

    static List<INDArray> perStage(NpzFile arrays, String name, int stages) throws IOException {
        List<INDArray> all = new ArrayList<>();
        for (int s = 0; s < stages; s++) {
            all.add(arrays.array(name + s));
        }
        return all;
    }

    static double largestDifference(INDArray expected, INDArray actual) {
        if (!expected.equalShapes(actual)) {
            throw new AssertionError(
                    "expected " + expected.shapeInfoToString() + ", got " + actual.shapeInfoToString());
        }
        return expected.castTo(DataType.DOUBLE)
                .sub(actual.castTo(DataType.DOUBLE))
                .amaxNumber()
                .doubleValue();
    }
}
