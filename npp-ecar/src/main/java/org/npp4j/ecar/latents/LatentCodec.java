package org.npp4j.ecar.latents;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;

/** An autoencoder with continuous latents of about unit variance, [B, C, G, G]. */
public interface LatentCodec {
    /** {@return C} */
    int channels();

    /** {@return G} */
    int grid();

    /**
     * Images as latents.
     *
     * @param images of the codec's size and channels
     * @return [B, C, G, G], float
     * @throws IllegalArgumentException if the images are of another size
     */
    INDArray encode(PixelImages images);

    /**
     * Latents as images.
     *
     * @param latents [B, C, G, G]
     * @return 8-bit images; what lies outside of their range is clamped
     * @throws IllegalArgumentException if the latents have another shape
     */
    PixelImages decode(INDArray latents);

    /** {@return a JSON object that {@link #parse} makes an equal codec of} */
    String toJson();

    /** {@return 64 hexadecimal digits that are equal for codecs that give the same latents} */
    default String fingerprint() {
        return new Sha256().add(toJson().getBytes(StandardCharsets.UTF_8)).hex();
    }

    /**
     * A codec from its description.
     *
     * @param json an object whose "kind" says which codec it is
     * @return the codec
     * @throws IllegalArgumentException if it describes none
     * @throws IOException if the autoencoder's checkpoint that it names is not there, is another one, or cannot be read
     */
    static LatentCodec parse(String json) throws IOException {
        return parse(json, null);
    }

    /**
     * A codec from its description.
     *
     * @param json an object whose "kind" says which codec it is
     * @param checkpoint where the autoencoder's checkpoint is now; null for where the description says
     * @return the codec
     * @throws IllegalArgumentException if it describes none, or one without a checkpoint and there is one
     * @throws IOException if the autoencoder's checkpoint is not there, is another one, or cannot be read
     */
    static LatentCodec parse(String json, Path checkpoint) throws IOException {
        JsonNode node;
        try {
            node = new ObjectMapper().readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        String kind = node == null ? "" : node.path("kind").asText();
        switch (kind) {
            case BlockTransform.KIND -> {
                if (checkpoint != null) {
                    throw new IllegalArgumentException("The latents are those of a block transform, which needs no"
                            + " checkpoint of an autoencoder, but " + checkpoint + " is given. Leave it out");
                }
                return BlockTransform.of(node);
            }
            case KlCodec.KIND -> {
                return KlCodec.of(node, checkpoint);
            }
            default -> throw new IllegalArgumentException("The kind of a latent codec must be \"" + BlockTransform.KIND
                    + "\" or \"" + KlCodec.KIND + "\", got \"" + kind + "\"");
        }
    }
}
