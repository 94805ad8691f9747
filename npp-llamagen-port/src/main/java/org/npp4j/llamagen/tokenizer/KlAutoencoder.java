package org.npp4j.llamagen.tokenizer;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;

/**
 * A KL autoencoder: a convolutional encoder whose result is a normal distribution of continuous latents, and a convolutional
 * decoder. It reads the checkpoints of latent-diffusion and Stable Diffusion, of MAR, and of diffusers' {@code AutoencoderKL};
 * it writes latent-diffusion's names.
 *
 * <ul>
 *   <li>encoder: images [B, 3, H, W] in [-1, 1] to means and log variances, [B, D, h, w] each, h = H / f
 *   <li>decoder: latents [B, D, h, w] to images [B, 3, H, W], nominally in [-1, 1]
 * </ul>
 *
 * <p>Published models multiply latents with a factor that gives them unit variance ({@link KlConfig#SD_F8_SCALE}); here latents
 * are without it.
 *
 * <p>Images of any size whose sides f divides are possible. However many are given, few go through the networks at a time: as
 * many as have the pixels of one of 256 x 256, at least one. Calls from several threads wait for each other.
 *
 * <p>Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (arXiv 2112.10752); Kingma and
 * Welling, "Auto-Encoding Variational Bayes" (arXiv 1312.6114).
 */
public final class KlAutoencoder {
    private static final int CHANNELS = 3;

    /** Bounds the memory of one pass through a network. */
    private static final int PIXELS_PER_PASS = 256 * 256;

    private final KlConfig config;
    private final List<AutoencoderModule> encoderModules;
    private final List<AutoencoderModule> decoderModules;
    private final ComputationGraph encoder;
    private final ComputationGraph decoder;

    private KlAutoencoder(KlConfig config, long seed, boolean random) {
        this.config = config;
        encoderModules = KlModules.encoder(config);
        decoderModules = KlModules.decoder(config);
        encoder = AutoencoderChain.network(encoderModules, config.groups(), seed, random);
        decoder = AutoencoderChain.network(decoderModules, config.groups(), seed + 1, random);
    }

    /** One whose weights are all 0, to be set. */
    static KlAutoencoder unset(KlConfig config) {
        return new KlAutoencoder(config, 1, false);
    }

    /**
     * An autoencoder with random weights, to be timed or tested.
     *
     * @param config sizes
     * @param seed of the weights
     * @return the autoencoder
     */
    public static KlAutoencoder random(KlConfig config, long seed) {
        long given = seed == 0 ? 1 : seed; // 0 is taken from the clock
        Nd4j.getRandom().setSeed(given);
        return new KlAutoencoder(config, given, true);
    }

    /**
     * Reads an autoencoder.
     *
     * @param file PyTorch or safetensors; weights at the top or under {@code model} or {@code state_dict}, in a file of Stable
     *     Diffusion those under {@code first_stage_model.}; tensors of the training loss ({@code loss.}) are passed over
     * @param config its sizes; null to tell them from the tensors, with 32 groups
     * @return the autoencoder
     * @throws IOException if the file cannot be read, or its tensors are not those of a KL autoencoder; all that are missing,
     *     unexpected or mis-shaped are listed
     */
    public static KlAutoencoder load(Path file, KlConfig config) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException("There is no autoencoder file " + file + ". Check the path");
        }
        try (TensorFile open = TensorFile.open(file)) {
            KlCheckpoint checkpoint = KlCheckpoint.of(open);
            return checkpoint.load(config == null ? checkpoint.config() : config);
        }
    }

    /**
     * Writes a checkpoint under latent-diffusion's names.
     *
     * @param file .pt, .pth or .safetensors; one that exists is replaced, whole or not at all
     * @throws IllegalArgumentException if the name ends otherwise
     * @throws IOException if it cannot be written
     */
    public synchronized void save(Path file) throws IOException {
        Map<String, TensorSource> sources = new LinkedHashMap<>();
        weights().forEach((name, array) -> sources.put(name, TensorSource.of(array)));
        CheckpointWeights.write(file, sources);
    }

    /** All weights: latent-diffusion's name -> view of the published shape. */
    Map<String, INDArray> weights() {
        Map<String, INDArray> weights = new LinkedHashMap<>(AutoencoderChain.weights(encoder, encoderModules));
        weights.putAll(AutoencoderChain.weights(decoder, decoderModules));
        return weights;
    }

    synchronized void setWeights(Map<String, INDArray> weights) {
        weights().forEach((name, target) -> target.assign(weights.get(name)));
    }

    /** {@return its sizes} */
    public KlConfig config() {
        return config;
    }

    /**
     * Distributions of latents.
     *
     * @param images [B, 3, H, W] in [-1, 1]
     * @return means and log variances [B, D, h, w]
     * @throws IllegalArgumentException if the array has another shape, or f does not divide the sides
     * @throws IllegalStateException if a mean is not a number
     */
    public synchronized LatentDistribution encode(INDArray images) {
        if (images.rank() != 4 || images.size(0) < 1 || images.size(1) != CHANNELS) {
            throw new IllegalArgumentException("Images must have the shape [count, " + CHANNELS
                    + ", height, width], at least one, got " + Arrays.toString(images.shape()));
        }
        int f = config.downsampling();
        config.grid(Math.toIntExact(images.size(2)), Math.toIntExact(images.size(3)));
        long[] shape = {images.size(0), 2L * config.latentChannels(), images.size(2) / f, images.size(3) / f};
        INDArray moments = passes(encoder, images, shape, images.size(2) * images.size(3));
        LatentDistribution latents = LatentDistribution.ofMoments(moments);
        moments.close();
        if (Double.isNaN(latents.mean().sumNumber().doubleValue())) {
            throw new IllegalStateException(
                    "The encoder gives latents that are not numbers (NaN). Check the images and the weights");
        }
        return latents;
    }

    /**
     * Images of latents.
     *
     * @param latents [B, D, h, w]
     * @return [B, 3, h f, w f], nominally in [-1, 1]
     * @throws IllegalArgumentException if the array has another shape
     */
    public synchronized INDArray decode(INDArray latents) {
        if (latents.rank() != 4 || latents.size(0) < 1 || latents.size(1) != config.latentChannels()) {
            throw new IllegalArgumentException("Latents must have the shape [count, " + config.latentChannels()
                    + ", height, width], at least one, got " + Arrays.toString(latents.shape()));
        }
        int f = config.downsampling();
        long[] shape = {latents.size(0), CHANNELS, latents.size(2) * f, latents.size(3) * f};
        return passes(decoder, latents, shape, shape[2] * shape[3]);
    }

    /** Few images at a time: [B, C, H, W] -> NHWC -> network -> NHWC -> [B, C', H', W']. */
    private static INDArray passes(ComputationGraph network, INDArray input, long[] shape, long pixelsPerImage) {
        INDArray all = Nd4j.createUninitialized(DataType.FLOAT, shape, 'c');
        long perPass = Math.max(1, PIXELS_PER_PASS / pixelsPerImage);
        for (long from = 0; from < shape[0]; from += perPass) {
            long to = Math.min(shape[0], from + perPass);
            try (INDArray some = input.get(NDArrayIndex.interval(from, to))
                            .castTo(DataType.FLOAT)
                            .permute(0, 2, 3, 1)
                            .dup('c');
                    INDArray output = network.outputSingle(some)) {
                all.get(NDArrayIndex.interval(from, to)).assign(output.permute(0, 3, 1, 2));
            }
        }
        return all;
    }
}
