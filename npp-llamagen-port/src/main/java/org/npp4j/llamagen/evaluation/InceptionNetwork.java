package org.npp4j.llamagen.evaluation;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;

/**
 * The InceptionV3 network of 2015 that published FIDs are computed with, from the frozen graph that was distributed as
 * {@code classify_image_graph_def.pb}.
 *
 * <p>As the published evaluator takes them: features are {@code pool_3} (2048), spatial features the first 7 channels of
 * {@code mixed_6/conv} at all its positions (17 x 17 x 7), and class probabilities the softmax of the features times the
 * weight of {@code softmax/logits/MatMul}, without its bias. Pixels go in as they are, 0 to 255; the graph resizes them to
 * 299 x 299 (TensorFlow 1's bilinear: corners not aligned, no half pixels, no smoothing) and scales them.
 *
 * <p>Source: the evaluator of Dhariwal, Nichol, "Diffusion models beat GANs on image synthesis", 2021.
 */
public final class InceptionNetwork implements FeatureNetwork {
    /** The name in labels. */
    public static final String NAME = "inception-2015";

    private static final String INPUT = "ExpandDims";
    private static final String POOL = "pool_3";
    private static final String SPATIAL = "mixed_6/conv";
    private static final String LOGITS = "softmax/logits/MatMul";
    private static final int SPATIAL_CHANNELS = 7;
    private static final int COLOURS = 3;

    private final SameDiff graph;
    private final INDArray classWeights;
    private final String sha256;

    private InceptionNetwork(SameDiff graph, INDArray classWeights, String sha256) {
        this.graph = graph;
        this.classWeights = classWeights;
        this.sha256 = sha256;
    }

    /**
     * Reads the graph.
     *
     * @param file classify_image_graph_def.pb
     * @return the network
     * @throws FileSystemException if it is not that graph, or cannot be imported
     * @throws IOException if it cannot be read
     */
    public static InceptionNetwork load(Path file) throws IOException {
        FrozenGraph frozen = FrozenGraph.read(file);
        INDArray weights = frozen.constant(frozen.node(LOGITS).getInput(1));
        SameDiff graph = frozen.between(INPUT, COLOURS, POOL, SPATIAL);
        return new InceptionNetwork(graph, weights, Sha256.of(file));
    }

    /** {@return F, the features of an image; 2048 of the published graph} */
    public int features() {
        return (int) classWeights.size(0);
    }

    /** {@return the classes whose probabilities it gives; 1008 of the published graph} */
    public int classes() {
        return (int) classWeights.size(1);
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String sha256() {
        return sha256;
    }

    @Override
    public String preparation() {
        return "bilinear to 299 x 299 inside the graph (TensorFlow 1, corners not aligned), (v - 128) / 128";
    }

    /**
     * Looks at images.
     *
     * @param images [n, C, H, W] of any size; C is 3, or 1, which stands for three equal ones
     * @return features, spatial features and class probabilities
     * @throws IllegalArgumentException if they have another number of channels
     */
    @Override
    public Seen look(PixelImages images) {
        int channels = images.channels();
        if (channels != COLOURS && channels != 1) {
            throw new IllegalArgumentException(
                    "The Inception network takes images of 3 channels, or of 1, got " + channels);
        }
        Map<String, INDArray> out = graph.output(Map.of(INPUT, pixels(images)), POOL, SPATIAL);
        INDArray pool = out.get(POOL); // [n, 1, 1, F]
        INDArray spatial = out.get(SPATIAL); // [n, h, w, channels]
        int count = images.count();
        INDArray features = pool.dup('c').reshape('c', count, pool.length() / count);
        INDArray first = spatial.get(
                        NDArrayIndex.all(),
                        NDArrayIndex.all(),
                        NDArrayIndex.all(),
                        NDArrayIndex.interval(0, Math.min(SPATIAL_CHANNELS, spatial.size(3))))
                .dup('c');
        // [n, F] x [F, classes]
        INDArray probabilities = Nd4j.nn().softmax(features.mmul(classWeights), 1);
        return new Seen(
                features, Optional.of(first.reshape('c', count, first.length() / count)), Optional.of(probabilities));
    }

    /** [n, C, H, W] bytes -> [n, H, W, 3] floats from 0 to 255. */
    private static INDArray pixels(PixelImages images) {
        byte[] from = images.toBytes();
        int plane = images.height() * images.width();
        int channels = images.channels();
        float[] to = new float[images.count() * plane * COLOURS];
        for (int i = 0; i < images.count(); i++) {
            for (int c = 0; c < COLOURS; c++) {
                int start = (i * channels + Math.min(c, channels - 1)) * plane;
                for (int p = 0; p < plane; p++) {
                    to[(i * plane + p) * COLOURS + c] = from[start + p] & 0xff;
                }
            }
        }
        return Nd4j.create(to, new long[] {images.count(), images.height(), images.width(), COLOURS}, 'c')
                .castTo(DataType.FLOAT);
    }
}
