package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
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

/**
 * Run-time half of {@link VectorQuantizer}. Latents and codes are few numbers beside an image's activations, so the
 * arithmetic is in double precision on the heap.
 */
final class VectorQuantizerImpl extends BaseLayer<VectorQuantizer> {
    private static final long serialVersionUID = 1L;

    /** Of the last forward pass: z / |z| [R x D] and |z| [R]. */
    private double[] latents = {};

    private double[] lengths = {};
    /** c / |c| [V x D] and |c| [V]. */
    private double[] codes = {};

    private double[] codeLengths = {};
    /** The chosen code of each latent, [R]. */
    private int[] chosen = {};

    private double squaredError;

    VectorQuantizerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        int d = (int) layerConf().getNIn();
        if (input.rank() != 4 || input.size(3) != d) {
            throw new IllegalArgumentException("Expected latents [batch, height, width, " + d + "], got "
                    + Arrays.toString(input.shape()) + " " + layerId());
        }
        latents = doubles(input);
        lengths = toUnitLength(latents, d);
        codes = doubles(getParam(VectorQuantizer.CODES));
        codeLengths = toUnitLength(codes, d);
        chosen = new NearestDirection(floats(codes), d).find(floats(latents));
        double[] output = new double[latents.length];
        double sum = 0;
        for (int i = 0; i < output.length; i++) {
            output[i] = codes[chosen[i / d] * d + i % d];
            sum += (latents[i] - output[i]) * (latents[i] - output[i]);
        }
        squaredError = sum / latents.length;
        return array(output, ArrayType.ACTIVATIONS, workspaceMgr);
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        int d = (int) layerConf().getNIn();
        double perImage = (double) latents.length / input.size(0);
        double scale = 2 * layerConf().getWeight() / perImage;
        double[] latentGradient = doubles(epsilon);
        double[] codeGradient = new double[codes.length];
        for (int i = 0; i < latents.length; i++) {
            int code = chosen[i / d] * d + i % d;
            double difference = latents[i] - codes[code];
            latentGradient[i] += scale * layerConf().getCommitment() * difference;
            codeGradient[code] -= scale * layerConf().getCodebookWeight() * difference;
        }
        throughUnitLength(latentGradient, latents, lengths, d);
        throughUnitLength(codeGradient, codes, codeLengths, d);
        INDArray view = gradientViews.get(VectorQuantizer.CODES);
        view.assign(Nd4j.createFromArray(codeGradient).reshape('c', view.shape()));
        Gradient gradient = new DefaultGradient();
        gradient.gradientForVariable().put(VectorQuantizer.CODES, view);
        return new Pair<>(gradient, array(latentGradient, ArrayType.ACTIVATION_GRAD, workspaceMgr));
    }

    /** The loss of the last forward pass: mean over its images. There is no other place where a layer can add to the score. */
    @Override
    public double calcRegularizationScore(boolean backpropOnlyParams) {
        return layerConf().getWeight()
                * (layerConf().getCodebookWeight() + layerConf().getCommitment())
                * squaredError;
    }

    /** {@return the mean squared difference of latents and chosen codes in the last forward pass} */
    double squaredError() {
        return squaredError;
    }

    /** {@return the codes that the last forward pass chose, image by image; not a copy} */
    int[] chosen() {
        return chosen;
    }

    /** {@return the latents of the last forward pass with length 1, [R x D]; not a copy} */
    double[] latents() {
        return latents;
    }

    private INDArray array(double[] values, ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        INDArray array = workspaceMgr.createUninitialized(type, dataType, input.shape(), 'c');
        return array.assign(Nd4j.createFromArray(values).reshape('c', input.shape()));
    }

    private static double[] doubles(INDArray array) {
        INDArray copy = array.castTo(DataType.DOUBLE).dup('c');
        return copy.reshape(copy.length()).toDoubleVector();
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }

    /** Divides rows by their lengths, which it returns. */
    private static double[] toUnitLength(double[] rows, int d) {
        double[] lengths = new double[rows.length / d];
        for (int r = 0; r < lengths.length; r++) {
            double sum = 0;
            for (int i = r * d; i < (r + 1) * d; i++) {
                sum += rows[i] * rows[i];
            }
            lengths[r] = Math.max(Math.sqrt(sum), NearestDirection.SHORTEST);
            for (int i = r * d; i < (r + 1) * d; i++) {
                rows[i] /= lengths[r];
            }
        }
        return lengths;
    }

    /** From the gradient with respect to u = x / |x| to that with respect to x: (g - u (u.g)) / |x|. */
    private static void throughUnitLength(double[] gradient, double[] unit, double[] lengths, int d) {
        for (int r = 0; r < lengths.length; r++) {
            double product = 0;
            for (int i = r * d; i < (r + 1) * d; i++) {
                product += unit[i] * gradient[i];
            }
            for (int i = r * d; i < (r + 1) * d; i++) {
                gradient[i] = (gradient[i] - unit[i] * product) / lengths[r];
            }
        }
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
