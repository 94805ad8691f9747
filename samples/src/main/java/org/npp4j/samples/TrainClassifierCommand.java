package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.npp4j.llamagen.evaluation.Dl4jNetwork;
import org.npp4j.llamagen.evaluation.ImageClassifier;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.LabelledImages;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp train-classifier}: the feature network for a data set of small pictures. */
@Command(
        name = "train-classifier",
        description =
                "Trains a small convolutional classifier on the labels of an image set, for evaluate --network FILE.",
        sortOptions = false)
final class TrainClassifierCommand implements Callable<Integer> {
    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            required = true,
            description = "Folder of an image set in IDX files, such as Fashion-MNIST.")
    private Path data;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            required = true,
            description = "The network to write, .zip of Deeplearning4j; one that exists is replaced.")
    private Path out;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "5",
            description = "How often each image is seen. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "1",
            description = "Seed of weights, order and mirroring. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Mixin
    private StandardOptions standardOptions;

    TrainClassifierCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        if (epochs < 1) {
            throw usage("--epochs must be at least 1, but is " + epochs);
        }
        if (Files.isDirectory(out)) {
            throw usage("--out must be a file, but " + out + " is a folder");
        }
        LabelledImages train = LabelledImages.load(data, LabelledImages.Split.TRAIN);
        LabelledImages test = LabelledImages.load(data, LabelledImages.Split.TEST);
        backend.get();
        MultiLayerNetwork network;
        try (WorkProgress progress = new WorkProgress("classifier")) {
            network = ImageClassifier.train(train, epochs, seed, progress::update);
        }
        AtomicFile.write(out, to -> ModelSerializer.writeModel(network, to, false));
        double accuracy = ImageClassifier.accuracy(
                Dl4jNetwork.load(out, out.getFileName().toString()), test.images(), test.labels());
        spec.commandLine()
                .getOut()
                .println(String.format(
                        Locale.ROOT,
                        "%s: %.2f %% of %d test images right, %d parameters, SHA-256 %s",
                        out,
                        100 * accuracy,
                        test.count(),
                        network.numParams(),
                        Sha256.of(out)));
        spec.commandLine().getOut().flush();
        return 0;
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
