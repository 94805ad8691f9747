package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.evaluation.Dl4jNetwork;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.LabelledImages;

class TrainClassifierCommandTest {
    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @Test
    void writesANetworkForEvaluate() throws IOException {
        for (LabelledImages.Split split : LabelledImages.Split.values()) {
            String prefix = split == LabelledImages.Split.TRAIN ? "train" : "t10k";
            LabelledImages images = ShippedImages.load(split).firstOfEachClass(4);
            IdxFile.writeImages(folder.resolve(prefix + "-images-idx3-ubyte.gz"), images.images());
            IdxFile.writeLabels(folder.resolve(prefix + "-labels-idx1-ubyte.gz"), images.labels());
        }
        Path file = folder.resolve("new/network.zip");
        assertEquals(0, train("--data", folder.toString(), "--out", file.toString(), "--epochs", "1"), err::toString);
        assertTrue(out.toString().contains("of 40 test images right"), out::toString);
        LabelledImages test = LabelledImages.load(folder, LabelledImages.Split.TEST);
        assertEquals(
                64,
                Dl4jNetwork.load(file, "network").look(test.images()).features().size(1));
    }

    @Test
    void wrongUsageIsOneLine() throws IOException {
        assertEquals(2, train("--data", "a", "--out", "b", "--epochs", "0"));
        assertEquals(
                "npp: --epochs must be at least 1, but is 0. See: npp train-classifier --help",
                err.toString().strip());
        assertEquals(2, train("--data", "a", "--out", folder.toString()));
        assertTrue(err.toString().contains("is a folder"), err::toString);
        assertEquals(
                1,
                train(
                        "--data",
                        folder.toString(),
                        "--out",
                        folder.resolve("x.zip").toString()));
        assertTrue(err.toString().contains("does not hold train-images"), err::toString);
        assertTrue(Files.notExists(folder.resolve("x.zip")));
    }

    private int train(String... options) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        String[] args = new String[options.length + 1];
        args[0] = "train-classifier";
        System.arraycopy(options, 0, args, 1, options.length);
        return Npp.run(
                List.of(new TrainClassifierCommand(() -> new Backend("CPU", "OPENBLAS", 2, 1, ""))),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }
}
