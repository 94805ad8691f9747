package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.npp4j.ecar.latents.BlockTransform;
import org.npp4j.ecar.latents.KlCodec;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlDescription;
import picocli.CommandLine.Option;

/** Options that decide what makes latents of images. */
final class CodecOptions {
    private static final int BLOCK = 4;

    @Option(
            names = "--block",
            paramLabel = "B",
            description = "Latents are the cosine transform of blocks of B x B pixels. Default: 4.")
    private Integer block;

    @Option(
            names = "--kl-ckpt",
            paramLabel = "FILE",
            description =
                    "Latents are those of this KL autoencoder: a checkpoint of latent-diffusion, Stable Diffusion, MAR"
                            + " or diffusers (.ckpt, .pt, .safetensors), or of train-tokenizer --kl.")
    private Path checkpoint;

    @Option(
            names = "--kl-config",
            paramLabel = "FILE",
            description =
                    "JSON that describes it, in the words of latent-diffusion or diffusers. Default: told from the"
                            + " file.")
    private Path config;

    @Option(
            names = "--kl-scale",
            paramLabel = "S",
            description = "Its latents are multiplied with S: 0.18215 for Stable Diffusion, 0.2325 for MAR. Default:"
                    + " scaling_factor of --kl-config, or 1 / their deviation over the training images.")
    private Double scale;

    /** {@return the checkpoint of the KL autoencoder; null if none is given} */
    Path checkpoint() {
        return checkpoint;
    }

    /**
     * What makes latents of images. The one place that knows the codecs.
     *
     * @param train images that the codec may be fitted to
     * @param grid the side of the grid, if the model says it; null for the smallest that covers the images
     * @param multiple of which the grid must be one
     * @return the codec
     * @throws IllegalArgumentException if it does not go with the images
     * @throws IOException if a file cannot be read
     */
    LatentCodec codec(PixelImages train, Integer grid, int multiple) throws IOException {
        if (checkpoint == null) {
            if (config != null || scale != null) {
                throw new UsageException("--kl-config and --kl-scale need --kl-ckpt");
            }
            return blocks(train, grid, multiple);
        }
        if (block != null) {
            throw new UsageException("--block and --kl-ckpt exclude each other");
        }
        if (scale != null && !(scale > 0 && scale < Double.POSITIVE_INFINITY)) {
            throw new UsageException("--kl-scale must be a finite number above 0, but is " + scale);
        }
        for (Path file : config == null ? new Path[] {checkpoint} : new Path[] {checkpoint, config}) {
            if (!Files.isRegularFile(file)) {
                throw new UsageException(
                        (file.equals(checkpoint) ? "--kl-ckpt" : "--kl-config") + ": there is no file " + file);
            }
        }
        KlDescription description = config == null ? null : KlDescription.read(config);
        Double described = description == null ? null : description.scalingFactor();
        return KlCodec.load(
                checkpoint,
                description == null ? null : description.config(),
                train,
                scale == null ? described : scale,
                multiple,
                grid);
    }

    private LatentCodec blocks(PixelImages train, Integer grid, int multiple) {
        int side = block == null ? BLOCK : block;
        if (side < 1) {
            throw new UsageException("--block must be at least 1, but is " + side);
        }
        int blocks = (Math.max(train.height(), train.width()) + side - 1) / side;
        int smallest = (blocks + multiple - 1) / multiple * multiple;
        return BlockTransform.fit(train, side, grid == null ? smallest : grid);
    }
}
