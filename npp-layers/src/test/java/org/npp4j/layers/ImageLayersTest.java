package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.List;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** How the layers on images behave as parts of configurations and networks. */
class ImageLayersTest {

    private static InputType images(long height, long width, long channels) {
        return InputType.convolutional(height, width, channels, CNN2DFormat.NHWC);
    }

    /** Each layer and option, with 4 input channels. */
    static List<org.deeplearning4j.nn.conf.layers.Layer> layers() {
        return List.of(
                new ImageConvolution.Builder(3).nIn(4).nOut(6).build(),
                new ImageConvolution.Builder(3)
                        .nIn(4)
                        .nOut(2)
                        .stride(2)
                        .padding(0, 0, 1, 1)
                        .build(),
                new ImageConvolution.Builder(3).nIn(4).nOut(4).upsample(true).build(),
                new GroupNorm.Builder(2).nIn(4).build(),
                new GroupNorm.Builder(2).nIn(4).epsilon(0.25).swish(true).build(),
                new ResidualBlock.Builder(2).nIn(4).build(),
                new ResidualBlock.Builder(2).nIn(4).nOut(6).epsilon(0.5).build(),
                new SpatialSelfAttention.Builder(4).nIn(4).epsilon(0.5).build());
    }

    @ParameterizedTest
    @MethodSource("layers")
    void equalsAndJson(org.deeplearning4j.nn.conf.layers.Layer layer) throws IOException {
        assertEquals(layer, layer.clone());
        assertEquals(layer.hashCode(), layer.clone().hashCode());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(layer);
        assertEquals(
                layer, NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class));
        for (org.deeplearning4j.nn.conf.layers.Layer other : layers()) {
            assertEquals(
                    other.toString().equals(layer.toString()) && other.hashCode() == layer.hashCode(),
                    other.equals(layer));
        }
    }
}
