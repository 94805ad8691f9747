package org.npp4j.ecar.latents;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
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

    /**
     * A codec from its description.
     *
     * @param json an object whose "kind" says which codec it is
     * @return the codec
     * @throws IllegalArgumentException if it describes none
     */
    static LatentCodec parse(String json) {
        JsonNode node;
        try {
            node = new ObjectMapper().readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        String kind = node == null ? "" : node.path("kind").asText();
        if (!kind.equals(BlockTransform.KIND)) {
            throw new IllegalArgumentException(
                    "The kind of a latent codec must be \"" + BlockTransform.KIND + "\", got \"" + kind + "\"");
        }
        return BlockTransform.of(node);
    }
}
