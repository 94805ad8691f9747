package org.npp4j.samples;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.npp4j.llamagen.evaluation.Dl4jNetwork;
import org.npp4j.llamagen.evaluation.FeatureNetwork;
import org.npp4j.llamagen.evaluation.ResizingNetwork;

/** The classifier of clothes that comes along with the apps; fashion-mnist/README.md says how it was made. */
final class ShippedClassifier {
    /** Its name in labels. */
    static final String NAME = "cnn-fashion-mnist";

    private static final int SIDE = 28;

    private ShippedClassifier() {}

    /**
     * Reads it.
     *
     * @return the network
     * @throws IOException if it cannot be read
     */
    static FeatureNetwork load() throws IOException {
        Path copy = Files.createTempFile("npp-classifier", ".zip");
        try (InputStream in = ShippedClassifier.class.getResourceAsStream("fashion-mnist/classifier.zip")) {
            Files.write(copy, in.readAllBytes());
            return new ResizingNetwork(Dl4jNetwork.load(copy, NAME), 1, SIDE, SIDE);
        } finally {
            Files.deleteIfExists(copy);
        }
    }
}
