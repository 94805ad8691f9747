package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.activations.IActivation;
import org.nd4j.linalg.activations.impl.ActivationIdentity;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.lossfunctions.ILossFunction;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * The squared error of an image: L = sum over its n values of (y - x)^2 / n; of a batch the mean over its images.
 *
 * <p>For {@code CnnLossLayer}, which hands over pixels as rows and divides by the images itself. Its own mean over the
 * columns of these rows depends on the data format; here n is given. Labels are images of the outputs' shape. Neither masks
 * nor another activation than the identity are possible.
 */
public class ImageSquaredError implements ILossFunction {
    private static final long serialVersionUID = 1L;

    private final long valuesPerImage;

    /**
     * The loss of images of one size.
     *
     * @param valuesPerImage n = height x width x channels
     * @throws IllegalArgumentException if it is below 1
     */
    @JsonCreator
    public ImageSquaredError(@JsonProperty("valuesPerImage") long valuesPerImage) {
        if (valuesPerImage < 1) {
            throw new IllegalArgumentException("An image has at least 1 value, got " + valuesPerImage);
        }
        this.valuesPerImage = valuesPerImage;
    }

    /** {@return n, the values of an image} */
    public long getValuesPerImage() {
        return valuesPerImage;
    }

    /** The sum over the images, or their mean. */
    @Override
    public double computeScore(
            INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask, boolean average) {
        double squares = squares(difference(labels, preOutput, activationFn, mask));
        double sum = squares / valuesPerImage;
        return average ? sum * valuesPerImage / preOutput.length() : sum;
    }

    /** Of each row: the sum of its squares / n, [rows, 1]; an image's score is the sum of its rows. */
    @Override
    public INDArray computeScoreArray(INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask) {
        INDArray difference = difference(labels, preOutput, activationFn, mask);
        return difference.muli(difference).sum(true, 1).divi(valuesPerImage);
    }

    @Override
    public INDArray computeGradient(INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask) {
        return difference(labels, preOutput, activationFn, mask).muli(2.0 / valuesPerImage);
    }

    @Override
    public Pair<Double, INDArray> computeGradientAndScore(
            INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask, boolean average) {
        return new Pair<>(
                computeScore(labels, preOutput, activationFn, mask, average),
                computeGradient(labels, preOutput, activationFn, mask));
    }

    private static double squares(INDArray difference) {
        return difference.muli(difference).castTo(DataType.DOUBLE).sumNumber().doubleValue();
    }

    private static INDArray difference(INDArray labels, INDArray preOutput, IActivation activation, INDArray mask) {
        if (!(activation instanceof ActivationIdentity) || mask != null) {
            throw new IllegalArgumentException("The squared error of images takes no masks and the activation IDENTITY"
                    + " alone, got " + activation + (mask == null ? "" : " and a mask"));
        }
        if (!Arrays.equals(labels.shape(), preOutput.shape())) {
            throw new IllegalArgumentException(
                    "The images to compare with must have the shape of the network's output, "
                            + Arrays.toString(preOutput.shape()) + ", but have " + Arrays.toString(labels.shape()));
        }
        return preOutput.sub(labels.castTo(preOutput.dataType()));
    }

    @Override
    public String name() {
        return toString();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ImageSquaredError && valuesPerImage == ((ImageSquaredError) other).valuesPerImage;
    }

    @Override
    public int hashCode() {
        return Long.hashCode(valuesPerImage);
    }

    @Override
    public String toString() {
        return "ImageSquaredError(" + valuesPerImage + " values)";
    }
}
