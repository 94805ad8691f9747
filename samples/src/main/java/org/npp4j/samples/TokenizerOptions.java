package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Options that name a tokenizer. The published ones that describe it are compared with what the file says. */
final class TokenizerOptions {
    /** The published default. */
    private static final int IMAGE_SIZE = 256;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(
            names = "--vq-ckpt",
            required = true,
            paramLabel = "FILE",
            description = "The tokenizer: a VQ checkpoint (.pt, .safetensors) or a block codebook (.json).")
    private Path file;

    @Option(
            names = "--vq-config",
            paramLabel = "FILE",
            description = "JSON that describes a VQ tokenizer. Default: told from the file.")
    private Path config;

    @Option(names = "--vq-model", paramLabel = "NAME", description = "VQ-16 or VQ-8. Default: told from the file.")
    private String model;

    @Option(names = "--codebook-size", paramLabel = "V", description = "Number of codes. Default: told from the file.")
    private Integer codebookSize;

    @Option(
            names = "--codebook-embed-dim",
            paramLabel = "D",
            description = "Width of a code. Default: told from the file.")
    private Integer codebookDim;

    /** {@return the tokenizer's file} */
    Path file() {
        return file;
    }

    /**
     * Loads the tokenizer as its file is.
     *
     * @return a tokenizer; one that takes images of several sizes for 256 x 256 pixels
     * @throws IOException if the file cannot be read
     */
    ImageTokenizer load() throws IOException {
        if (!Files.exists(file)) {
            throw usage("--vq-ckpt: there is no file " + file);
        }
        ImageTokenizer tokenizer = TokenizerFile.load(file, config == null ? null : VqConfig.read(config), null);
        if (codebookSize != null && codebookSize != tokenizer.vocabulary()) {
            throw usage("--codebook-size is " + codebookSize + ", but " + file + " has " + tokenizer.vocabulary()
                    + " codes");
        }
        if (tokenizer instanceof VqTokenizer vq) {
            requireAsDescribed(vq.config());
        } else if (model != null || codebookDim != null) {
            throw usage("--vq-model and --codebook-embed-dim describe VQ tokenizers, but " + file + " is none");
        }
        return tokenizer;
    }

    private void requireAsDescribed(VqConfig found) {
        if (codebookDim != null && codebookDim != found.codebookDim()) {
            throw usage("--codebook-embed-dim is " + codebookDim + ", but the codes of " + file + " have "
                    + found.codebookDim() + " numbers");
        }
        if (model == null) {
            return;
        }
        VqConfig named;
        try {
            named = VqConfig.named(model);
        } catch (IllegalArgumentException e) {
            throw usage("--vq-model: " + e.getMessage());
        }
        if (!Objects.equals(named.withCodebook(found.codebookSize(), found.codebookDim()), found)) {
            throw usage("--vq-model is " + model + ", but " + file + " is a " + found);
        }
    }

    /**
     * The size of images that is meant when none is given.
     *
     * @param tokenizer as loaded
     * @return 256, or what a block codebook was made for
     */
    static int defaultSize(ImageTokenizer tokenizer) {
        return tokenizer instanceof BlockCodebook book ? Math.min(book.imageHeight(), book.imageWidth()) : IMAGE_SIZE;
    }

    /**
     * A tokenizer for square images.
     *
     * @param tokenizer as loaded
     * @param side of the images
     * @return one for them, if it can take several sizes; else the same
     * @throws IllegalArgumentException if it cannot take this size
     */
    static ImageTokenizer forImages(ImageTokenizer tokenizer, int side) {
        return tokenizer instanceof VqTokenizer vq ? vq.forImages(side, side) : tokenizer;
    }

    /**
     * A tokenizer for a grid.
     *
     * @param tokenizer as loaded
     * @param grid of the tokens
     * @return one for it, if it can take several; else the same
     */
    static ImageTokenizer forGrid(ImageTokenizer tokenizer, TokenGrid grid) {
        return tokenizer instanceof VqTokenizer vq ? vq.forGrid(grid) : tokenizer;
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
