package org.npp4j.llamagen.tokenizer;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.layers.TokenGrid;

/**
 * The sizes of a KL autoencoder: what decides the shapes of its tensors.
 *
 * <p>Level i has {@code channels x channelMultipliers[i]} channels; from level to level the image is halved, so L levels give a
 * downsampling of f = 2^(L-1).
 *
 * <pre>{@code
 * KlConfig small = new KlConfig.Builder().channels(32).channelMultipliers(1, 2, 2).residualBlocks(1).latentChannels(4).build();
 * }</pre>
 *
 * @param channels channels at a multiplier of 1; those of every level are a multiple of the groups
 * @param channelMultipliers one number for each level, finest first
 * @param residualBlocks residual blocks of a level of the encoder; the decoder has one more
 * @param zChannels half of what the encoder's last 3 x 3 convolution gives, and what the decoder's first takes
 * @param latentChannels D, the channels of a latent
 * @param encoderAttention levels of the encoder with attention behind every residual block, in rising order; the middle always
 *     has it
 * @param decoderAttention the same of the decoder
 * @param groups of every group norm
 */
public record KlConfig(
        int channels,
        List<Integer> channelMultipliers,
        int residualBlocks,
        int zChannels,
        int latentChannels,
        List<Integer> encoderAttention,
        List<Integer> decoderAttention,
        int groups) {
    /** Groups of every group norm in the published models. */
    public static final int PUBLISHED_GROUPS = 32;

    /** The autoencoder of Stable Diffusion 1 and 2: downsampling 8, 4 channels. */
    public static final KlConfig SD_F8 = new Builder().build();

    /** What latents of {@link #SD_F8} are multiplied with, as published. */
    public static final double SD_F8_SCALE = 0.18215;

    /** The autoencoder of MAR: downsampling 16, 16 channels, attention on the coarsest level of the encoder alone. */
    public static final KlConfig MAR_KL_16 = new Builder()
            .channelMultipliers(1, 1, 2, 2, 4)
            .latentChannels(16)
            .encoderAttention(4)
            .build();

    /** What latents of {@link #MAR_KL_16} are multiplied with, as published. */
    public static final double MAR_KL_16_SCALE = 0.2325;

    private static final int MAX_LEVELS = 16;
    private static final int MAX_CHANNELS = 1 << 16;
    private static final int MAX_RESIDUAL_BLOCKS = 64;

    /**
     * Checks the sizes.
     *
     * @param channels at least 1; channels x multiplier is a multiple of the groups on every level
     * @param channelMultipliers one number for each level, at least 1 each
     * @param residualBlocks at least 1
     * @param zChannels at least 1
     * @param latentChannels at least 1
     * @param encoderAttention levels, 0 to L - 1; sorted here
     * @param decoderAttention levels, 0 to L - 1; sorted here
     * @param groups at least 1
     * @throws IllegalArgumentException if one is out of its range, the groups do not divide the channels of a level, or a level
     *     with attention does not exist
     */
    public KlConfig {
        channelMultipliers = List.copyOf(channelMultipliers);
        encoderAttention = encoderAttention.stream().sorted().distinct().toList();
        decoderAttention = decoderAttention.stream().sorted().distinct().toList();
        requireRange("channels", channels, MAX_CHANNELS);
        requireRange("the number of levels", channelMultipliers.size(), MAX_LEVELS);
        requireRange("residual blocks", residualBlocks, MAX_RESIDUAL_BLOCKS);
        requireRange("z channels", zChannels, MAX_CHANNELS);
        requireRange("latent channels", latentChannels, MAX_CHANNELS);
        requireRange("groups", groups, MAX_CHANNELS);
        for (int multiplier : channelMultipliers) {
            requireRange("a channel multiplier", multiplier, MAX_CHANNELS);
            if ((long) channels * multiplier > MAX_CHANNELS || channels * multiplier % groups != 0) {
                throw new IllegalArgumentException(channels + " channels x " + multiplier + " are "
                        + (long) channels * multiplier + "; the group norms need a multiple of their " + groups
                        + " groups, at most " + MAX_CHANNELS
                        + ". Give other channels, or the groups (norm_num_groups)");
            }
        }
        requireLevels("encoder", encoderAttention, channelMultipliers.size());
        requireLevels("decoder", decoderAttention, channelMultipliers.size());
    }

    private static void requireRange(String name, int value, int most) {
        if (value < 1 || value > most) {
            throw new IllegalArgumentException(name + " must be 1 to " + most + ", got " + value);
        }
    }

    private static void requireLevels(String side, List<Integer> attention, int levels) {
        for (int level : attention) {
            if (level < 0 || level >= levels) {
                throw new IllegalArgumentException("Levels of the " + side + " are 0 .. " + (levels - 1)
                        + ", but attention is asked for on level " + level);
            }
        }
    }

    /** {@return the number of levels, L} */
    public int levels() {
        return channelMultipliers.size();
    }

    /** {@return f, pixels of the image for each latent, in each direction: 2^(L-1)} */
    public int downsampling() {
        return 1 << levels() - 1;
    }

    /**
     * The channels of a level.
     *
     * @param level from 0, the finest
     * @return channels x multiplier
     */
    public int channels(int level) {
        return channels * channelMultipliers.get(level);
    }

    /**
     * The latents of an image.
     *
     * @param height of the image in pixels
     * @param width of the image in pixels
     * @return height / f x width / f
     * @throws IllegalArgumentException if f does not divide the sides
     */
    public TokenGrid grid(int height, int width) {
        int f = downsampling();
        if (height < 1 || width < 1 || height % f != 0 || width % f != 0) {
            throw new IllegalArgumentException("An autoencoder with a downsampling of " + f
                    + " needs images whose sides are multiples of it, got " + height + " x " + width
                    + " pixels. Crop or resize them");
        }
        return TokenGrid.of(height / f, width / f);
    }

    /** {@return the numbers in all tensors} */
    public long parameters() {
        return AutoencoderModule.parameters(KlModules.encoder(this))
                + AutoencoderModule.parameters(KlModules.decoder(this));
    }

    /** {@return the sizes in words, for messages} */
    @Override
    public String toString() {
        return "KL autoencoder of " + channels + " channels x " + channelMultipliers + ", " + residualBlocks
                + " residual blocks, z " + zChannels + ", " + latentChannels + " latent channels"
                + (encoderAttention.isEmpty() ? "" : ", attention on encoder levels " + encoderAttention)
                + (decoderAttention.isEmpty() ? "" : ", attention on decoder levels " + decoderAttention)
                + (groups == PUBLISHED_GROUPS ? "" : ", " + groups + " groups");
    }

    /** Builds sizes; those that are not given are Stable Diffusion's. */
    public static final class Builder {
        private int channels = 128;
        private List<Integer> multipliers = List.of(1, 2, 4, 4);
        private int residualBlocks = 2;
        private Integer zChannels;
        private int latentChannels = 4;
        private List<Integer> encoderAttention = List.of();
        private List<Integer> decoderAttention = List.of();
        private int groups = PUBLISHED_GROUPS;

        /** Sizes of Stable Diffusion. */
        public Builder() {}

        /**
         * Channels at a multiplier of 1.
         *
         * @param channels 128 by default
         * @return this
         */
        public Builder channels(int channels) {
            this.channels = channels;
            return this;
        }

        /**
         * A multiplier for each level.
         *
         * @param multipliers finest first; 1, 2, 4, 4 by default
         * @return this
         */
        public Builder channelMultipliers(int... multipliers) {
            return channelMultipliers(list(multipliers));
        }

        Builder channelMultipliers(List<Integer> list) {
            this.multipliers = List.copyOf(list);
            return this;
        }

        /**
         * Residual blocks of a level of the encoder; the decoder has one more.
         *
         * @param residualBlocks 2 by default
         * @return this
         */
        public Builder residualBlocks(int residualBlocks) {
            this.residualBlocks = residualBlocks;
            return this;
        }

        /**
         * Channels between the 3 x 3 and the 1 x 1 convolutions.
         *
         * @param zChannels the latent channels by default
         * @return this
         */
        public Builder zChannels(int zChannels) {
            this.zChannels = zChannels;
            return this;
        }

        /**
         * Channels of a latent.
         *
         * @param latentChannels D, 4 by default
         * @return this
         */
        public Builder latentChannels(int latentChannels) {
            this.latentChannels = latentChannels;
            return this;
        }

        /**
         * Levels of the encoder with attention.
         *
         * @param levels from 0, the finest; none by default
         * @return this
         */
        public Builder encoderAttention(int... levels) {
            encoderAttention = list(levels);
            return this;
        }

        /**
         * Levels of the decoder with attention.
         *
         * @param levels from 0, the finest; none by default
         * @return this
         */
        public Builder decoderAttention(int... levels) {
            decoderAttention = list(levels);
            return this;
        }

        /**
         * Attention in encoder and decoder as latent-diffusion's configurations say it. Call it behind {@link
         * #channelMultipliers}.
         *
         * @param resolution side of the training images in pixels
         * @param attentionResolutions sides of what the levels with attention work on
         * @return this
         * @throws IllegalArgumentException if no level has such a side
         */
        public Builder attentionResolutions(int resolution, int... attentionResolutions) {
            List<Integer> levels = new ArrayList<>();
            for (int side : attentionResolutions) {
                int level = 0;
                while (level < multipliers.size() && resolution >> level != side) {
                    level++;
                }
                if (level == multipliers.size()) {
                    throw new IllegalArgumentException("No level works on a side of " + side + ": with images of "
                            + resolution + " pixels and " + multipliers.size() + " levels the sides are " + resolution
                            + " down to " + (resolution >> multipliers.size() - 1));
                }
                levels.add(level);
            }
            encoderAttention = levels;
            decoderAttention = levels;
            return this;
        }

        /**
         * Groups of every group norm.
         *
         * @param groups 32 by default
         * @return this
         */
        public Builder groups(int groups) {
            this.groups = groups;
            return this;
        }

        private static List<Integer> list(int... numbers) {
            List<Integer> list = new ArrayList<>();
            for (int number : numbers) {
                list.add(number);
            }
            return list;
        }

        /**
         * The sizes.
         *
         * @return the sizes
         * @throws IllegalArgumentException if one is out of its range
         */
        public KlConfig build() {
            return new KlConfig(
                    channels,
                    multipliers,
                    residualBlocks,
                    zChannels == null ? latentChannels : zChannels,
                    latentChannels,
                    encoderAttention,
                    decoderAttention,
                    groups);
        }
    }
}
