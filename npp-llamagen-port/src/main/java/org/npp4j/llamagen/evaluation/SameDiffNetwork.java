package org.npp4j.llamagen.evaluation;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A network saved by SameDiff. It has one placeholder, which takes images [n, C, H, W] as v / 255, and a variable
 * {@value #FEATURES} [n, ..]; it may have {@value #SPATIAL} [n, ..] and {@value #PROBABILITIES} [n, classes].
 */
public final class SameDiffNetwork implements FeatureNetwork {
    /** The variable with the features. */
    public static final String FEATURES = "features";

    /** The variable with features that keep their place in the image. */
    public static final String SPATIAL = "spatial_features";

    /** The variable with the probabilities of the classes. */
    public static final String PROBABILITIES = "probabilities";

    private final String name;
    private final String sha256;
    private final SameDiff graph;
    private final String input;
    private final List<String> outputs = new ArrayList<>(List.of(FEATURES));

    private SameDiffNetwork(String name, String sha256, SameDiff graph) {
        this.name = name;
        this.sha256 = sha256;
        this.graph = graph;
        this.input = graph.inputs().get(0);
        for (String optional : List.of(SPATIAL, PROBABILITIES)) {
            if (graph.hasVariable(optional)) {
                outputs.add(optional);
            }
        }
    }

    /**
     * Reads a network.
     *
     * @param file written by {@link SameDiff#save}
     * @param name for labels
     * @return the network
     * @throws FileSystemException if it holds none, or one without these variables
     * @throws IOException if it cannot be read
     */
    public static SameDiffNetwork load(Path file, String name) throws IOException {
        String sha256 = Sha256.of(file);
        SameDiff graph;
        try {
            graph = SameDiff.load(file.toFile(), false);
        } catch (RuntimeException e) {
            FileSystemException failure = new FileSystemException(
                    file.toString(), null, "it holds no network of SameDiff, or is damaged (" + e + ")");
            failure.initCause(e);
            throw failure;
        }
        if (graph.inputs().size() != 1 || !graph.hasVariable(FEATURES)) {
            throw new FileSystemException(
                    file.toString(),
                    null,
                    "the SameDiff network needs one placeholder and a variable \"" + FEATURES
                            + "\"; its placeholders are " + graph.inputs());
        }
        return new SameDiffNetwork(name, sha256, graph);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String sha256() {
        return sha256;
    }

    @Override
    public String preparation() {
        return "none, pixels v / 255";
    }

    @Override
    public Seen look(PixelImages images) {
        Map<String, INDArray> seen;
        try {
            seen = graph.output(Map.of(input, UnitPixels.of(images)), outputs);
        } catch (RuntimeException e) {
            throw new IllegalArgumentException(
                    "The network " + name + " does not take images of " + images.channels() + " x " + images.height()
                            + " x " + images.width() + " (channels x height x width): " + e.getMessage(),
                    e);
        }
        return new Seen(
                rows(seen.get(FEATURES)),
                Optional.ofNullable(seen.get(SPATIAL)).map(SameDiffNetwork::rows),
                Optional.ofNullable(seen.get(PROBABILITIES)).map(SameDiffNetwork::rows));
    }

    /** [n, ..] -> [n, F]. */
    private static INDArray rows(INDArray array) {
        return array.dup('c').reshape('c', array.size(0), array.length() / array.size(0));
    }
}
