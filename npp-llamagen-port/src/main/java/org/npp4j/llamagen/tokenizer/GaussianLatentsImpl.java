package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.DefaultGradient;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.sampling.ImageRandom;

/**
 * Run-time half of {@link GaussianLatents}. Latents are few numbers beside an image's activations, so the arithmetic is in
 * double precision on the heap.
 */
final class GaussianLatentsImpl extends BaseLayer<GaussianLatents> {
    private static final long serialVersionUID = 1L;

    private static final String PURPOSE = "noise of latents";

    /** Of the last forward pass: m | l as they came, [R x 2 D], and the noise, [R x D]; 0 outside of training. */
    private double[] moments = {};

    private double[] noise = {};
    /** Mean over its images. */
    private double divergence;

    GaussianLatentsImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    private int channels() {
        return (int) layerConf().getNOut();
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        int d = channels();
        if (input.rank() != 4 || input.size(3) != 2L * d) {
            throw new IllegalArgumentException("Expected means and log variances [batch, height, width, " + 2 * d
                    + "], got " + Arrays.toString(input.shape()) + " " + layerId());
        }
        moments = doubles(input);
        int images = (int) input.size(0);
        noise = new double[moments.length / 2];
        if (training) {
            draw(images);
        }
        double[] latents = new double[noise.length];
        double sum = 0;
        for (int i = 0; i < latents.length; i++) {
            double mean = moments[i / d * 2 * d + i % d];
            double log = clamped(moments[i / d * 2 * d + d + i % d]);
            latents[i] = mean + Math.exp(log / 2) * noise[i];
            sum += (mean * mean + Math.exp(log) - 1 - log) / 2;
        }
        divergence = sum / images;
        return array(latents, d, ArrayType.ACTIVATIONS, workspaceMgr);
    }

    private void draw(int images) {
        int perImage = noise.length / images;
        for (int image = 0; image < images; image++) {
            SplittableRandom random =
                    ImageRandom.of(layerConf().getSeed(), ((long) getIterationCount() << 32) + image, PURPOSE);
            for (int i = 0; i < perImage; i++) {
                noise[image * perImage + i] = random.nextGaussian();
            }
        }
    }

    private static double clamped(double log) {
        return Math.max(LatentDistribution.LEAST_LOG_VARIANCE, Math.min(LatentDistribution.LARGEST_LOG_VARIANCE, log));
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        int d = channels();
        double weight = layerConf().getWeight();
        double[] ofLatents = doubles(epsilon);
        double[] gradient = new double[moments.length];
        for (int i = 0; i < ofLatents.length; i++) {
            int mean = i / d * 2 * d + i % d;
            double log = moments[mean + d];
            gradient[mean] = ofLatents[i] + weight * moments[mean];
            // a clamped log variance does not move anything
            if (log == clamped(log)) {
                gradient[mean + d] = ofLatents[i] * noise[i] * Math.exp(log / 2) / 2 + weight * (Math.exp(log) - 1) / 2;
            }
        }
        return new Pair<>(new DefaultGradient(), array(gradient, 2 * d, ArrayType.ACTIVATION_GRAD, workspaceMgr));
    }

    /** The loss of the last forward pass: mean over its images. There is no other place where a layer can add to the score. */
    @Override
    public double calcRegularizationScore(boolean backpropOnlyParams) {
        return layerConf().getWeight() * divergence;
    }

    /** {@return the divergence of an image in nats, mean over the last forward pass} */
    double divergence() {
        return divergence;
    }

    private INDArray array(double[] values, int channels, ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        long[] shape = {input.size(0), input.size(1), input.size(2), channels};
        INDArray array = workspaceMgr.createUninitialized(type, dataType, shape, 'c');
        return array.assign(Nd4j.createFromArray(values).reshape('c', shape));
    }

    private static double[] doubles(INDArray array) {
        INDArray copy = array.castTo(DataType.DOUBLE).dup('c');
        return copy.reshape(copy.length()).toDoubleVector();
    }

    @Override
    public boolean isPretrainLayer() {
        return false;
    }

    @Override
    public Type type() {
        return Type.CONVOLUTIONAL;
    }
}
