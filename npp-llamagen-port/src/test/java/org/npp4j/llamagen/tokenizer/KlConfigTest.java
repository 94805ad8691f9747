package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.npp4j.layers.TokenGrid;

class KlConfigTest {
    @TempDir
    private Path folder;

    @Test
    void publishedModels() {
        assertEquals(8, KlConfig.SD_F8.downsampling());
        assertEquals(512, KlConfig.SD_F8.channels(3));
        assertEquals(TokenGrid.of(64, 32), KlConfig.SD_F8.grid(512, 256));
        // as many as the published file has
        assertEquals(83_653_863, KlConfig.SD_F8.parameters());
        assertEquals(16, KlConfig.MAR_KL_16.downsampling());
        assertEquals(16, KlConfig.MAR_KL_16.zChannels());
        assertEquals(KlConfig.SD_F8, KlDescription.parse("{}").config());
    }

    @Test
    void readsBothPublishedDescriptions() {
        KlConfig f16 = KlDescription.parse(
                        "{\"double_z\": true, \"z_channels\": 16, \"embed_dim\": 16, \"resolution\": 256,"
                                + " \"in_channels\": 3, \"out_ch\": 3, \"ch\": 128, \"ch_mult\": [1, 1, 2, 2, 4],"
                                + " \"num_res_blocks\": 2, \"attn_resolutions\": [16], \"dropout\": 0.0}")
                .config();
        assertEquals(
                new KlConfig.Builder()
                        .channelMultipliers(1, 1, 2, 2, 4)
                        .latentChannels(16)
                        .attentionResolutions(256, 16)
                        .build(),
                f16);
        assertEquals(java.util.List.of(4), f16.decoderAttention());
        KlDescription sd = KlDescription.parse("{\"_class_name\": \"AutoencoderKL\", \"act_fn\": \"silu\","
                + " \"block_out_channels\": [128, 256, 512, 512], \"down_block_types\": [\"DownEncoderBlock2D\","
                + " \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], \"in_channels\": 3,"
                + " \"latent_channels\": 4, \"layers_per_block\": 2, \"norm_num_groups\": 32, \"out_channels\": 3,"
                + " \"sample_size\": 512, \"scaling_factor\": 0.18215, \"up_block_types\": [\"UpDecoderBlock2D\","
                + " \"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}");
        assertEquals(new KlDescription(KlConfig.SD_F8, KlConfig.SD_F8_SCALE), sd);
        // diffusers counts the decoder's blocks from the coarsest
        KlConfig attention = KlDescription.parse("{\"block_out_channels\": [32, 64, 64], \"up_block_types\":"
                        + " [\"AttnUpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}")
                .config();
        assertEquals(java.util.List.of(2), attention.decoderAttention());
        assertEquals(1, attention.residualBlocks());
    }

    @Test
    void readsWhatItWrites() throws IOException {
        KlConfig odd = new KlConfig.Builder()
                .channels(12)
                .channelMultipliers(2, 1, 3)
                .residualBlocks(1)
                .zChannels(7)
                .latentChannels(5)
                .encoderAttention(2, 0)
                .decoderAttention(1)
                .groups(6)
                .build();
        for (Double scale : new Double[] {null, 0.3}) {
            KlDescription description = new KlDescription(odd, scale);
            Path file = Files.writeString(
                    folder.resolve("kl.json"), "{\"config\": " + description.toJson() + ", \"more\": 1}");
            assertEquals(description, KlDescription.read(file));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"z\": 1, \"width\": 3} | Unknown keys width, z. Known keys: ch, ch_mult, num_res_blocks",
                "{\"ch\": 1.5} | \"ch\" must be a whole number, got 1.5",
                "{\"ch\": 48} | 48 channels x 1 are 48; the group norms need a multiple of their 32 groups",
                "{\"ch_mult\": 2} | \"ch_mult\" must be a list of whole numbers, got 2",
                "{\"ch_mult\": []} | the number of levels must be 1 to 16, got 0",
                "{\"ch_mult\": [1, 0]} | a channel multiplier must be 1 to 65536, got 0",
                "{\"num_res_blocks\": 0} | residual blocks must be 1 to 64, got 0",
                "{\"z_channels\": 0} | z channels must be 1 to 65536, got 0",
                "{\"embed_dim\": 0, \"z_channels\": 4} | latent channels must be 1 to 65536, got 0",
                "{\"norm_num_groups\": 0} | groups must be 1 to 65536, got 0",
                "{\"attn_resolutions\": [100]} | No level works on a side of 100: with images of 256 pixels and 4 levels",
                "{\"attn_resolutions\": [32], \"encoder_attention\": [3]} | exclude each other",
                "{\"encoder_attention\": [4]} | Levels of the encoder are 0 .. 3, but attention is asked for on level 4",
                "{\"decoder_attention\": [-1]} | Levels of the decoder are 0 .. 3, but attention",
                "{\"in_channels\": 1} | \"in_channels\" must be 3, the channels of colour images, got 1",
                "{\"double_z\": false} | \"double_z\" must be true",
                "{\"scaling_factor\": 0} | scaling_factor must be a finite number above 0, got 0.0",
                "{\"scaling_factor\": \"x\"} | \"scaling_factor\" must be a number, got \"x\"",
                "{\"block_out_channels\": [64, 96]} | \"block_out_channels\" must be multiples of the first, got [64, 96]",
                "{\"block_out_channels\": [64], \"use_quant_conv\": false} | \"use_quant_conv\" must be true",
                "{\"block_out_channels\": [64], \"shift_factor\": 0.1} | \"shift_factor\" must be absent",
                "{\"block_out_channels\": [64], \"act_fn\": \"relu\"} | \"act_fn\" must be \"silu\", got \"relu\"",
                "{\"block_out_channels\": [64], \"down_block_types\": [\"A\"]} | must be 1 times DownEncoderBlock2D or Attn",
                "[] | An autoencoder's configuration is a JSON object",
                "{ | This is not JSON"
            })
    void refusesWhatIsNoAutoencoder(String json, String message) {
        String refusal = refused(() -> KlDescription.parse(json));
        assertTrue(refusal.contains(message), refusal);
    }

    @Test
    void namesTheFileAndTheSides() throws IOException {
        Path file = Files.writeString(folder.resolve("kl.json"), "{\"width\": 1}");
        assertTrue(refused(() -> KlDescription.read(file)).startsWith(file + ": Unknown key width"));
        assertEquals(
                "An autoencoder with a downsampling of 8 needs images whose sides are multiples of it, got 256 x 250"
                        + " pixels. Crop or resize them",
                refused(() -> KlConfig.SD_F8.grid(256, 250)));
    }

    private static String refused(Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
