package org.npp4j.llamagen;

import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

/** Small models and random images for them. */
public final class SmallGpts {
    private SmallGpts() {}

    /** Two blocks, grouped queries, 11 codes, 5 classes. */
    public static GptSpec.Builder spec(TokenGrid grid) {
        return GptSpec.of(2, 4, 32)
                .keyValueHeads(2)
                .feedForwardMultiple(16)
                .vocabulary(11)
                .classes(5)
                .grid(grid);
    }

    /** Random tokens [B][N]. */
    public static int[][] images(GptSpec spec, int count, long seed) {
        Random random = new Random(seed);
        int[][] images = new int[count][spec.grid().tokens()];
        for (int[] image : images) {
            for (int i = 0; i < image.length; i++) {
                image[i] = random.nextInt(spec.vocabulary());
            }
        }
        return images;
    }

    /** Image b of class b. */
    public static MultiDataSet data(int[][] images) {
        int[] classes = new int[images.length];
        for (int b = 0; b < classes.length; b++) {
            classes[b] = b;
        }
        return data(images, classes);
    }

    public static MultiDataSet data(int[][] images, int[] classes) {
        INDArray tokens = Nd4j.createFromArray(images);
        INDArray labels = Nd4j.createFromArray(classes).reshape(classes.length, 1);
        return new MultiDataSet(new INDArray[] {tokens, labels}, new INDArray[] {tokens});
    }

    /** Parameters of a size at which every one of them matters; a fresh head is 0 and hides the rest. */
    public static ComputationGraph withLargeParameters(ComputationGraph network, long seed) {
        Random random = new Random(seed);
        double[] values = new double[(int) network.numParams()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.2 * random.nextGaussian();
        }
        INDArray params = network.params();
        params.assign(Nd4j.createFromArray(values).castTo(params.dataType()).reshape(params.shape()));
        return network;
    }

    /** The largest difference of two arrays, without the tolerance that equals of INDArray has. */
    public static double difference(INDArray a, INDArray b) {
        return a.castTo(DataType.DOUBLE)
                .sub(b.castTo(DataType.DOUBLE))
                .amaxNumber()
                .doubleValue();
    }
}
