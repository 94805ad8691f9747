package org.npp4j.samples.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;

/**
 * What to time. A job reads the settings that concern it.
 *
 * @param job what to do
 * @param model published name; a GPT is conditioned on classes, whatever it was published for
 * @param layers blocks instead of the size's own number, to fit a small machine; 0 for its own
 * @param batch images at a time
 * @param patch patch side p of a training step or a loss
 * @param grid side of the token grid; 16 as published. A tokenizer's images have sides of grid x downsampling
 * @param steps training steps, losses or batches that count
 * @param tokens positions to sample that count, after the first
 * @param cfg guidance scale, 1 for none
 * @param bf16 whether products are in bfloat16 instead of single precision
 */
public record BenchSettings(
        Job job,
        String model,
        int layers,
        int batch,
        int patch,
        int grid,
        int steps,
        int tokens,
        double cfg,
        boolean bf16) {
    private static final int PUBLISHED_GRID = 16;

    /**
     * Checks the settings.
     *
     * @param job not null
     * @param model one that is published for the job
     * @param layers 0 or above
     * @param batch at least 1
     * @param patch at least 1
     * @param grid at least 1
     * @param steps at least 1
     * @param tokens at least 2
     * @param cfg at least 1
     * @param bf16 either
     * @throws IllegalArgumentException if a setting is out of its range
     */
    public BenchSettings {
        Objects.requireNonNull(job, "A job is needed");
        job.requireModel(model);
        if (bf16 && job.isOfTokenizer()) {
            throw new IllegalArgumentException(job + " is in single precision; leave --mixed-precision out");
        }
        requireAtLeast(0, layers, "--layers (0: as many as the model has)");
        requireAtLeast(1, batch, "--batch");
        requireAtLeast(1, patch, "--patch");
        requireAtLeast(1, grid, "--grid");
        requireAtLeast(1, steps, "--steps");
        requireAtLeast(2, tokens, "--tokens");
        if (!(cfg >= 1 && cfg < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "--cfg must be a finite number, at least 1 (no guidance), but is " + cfg);
        }
    }

    private static void requireAtLeast(int least, int given, String name) {
        if (given < least) {
            throw new IllegalArgumentException(name + " must be at least " + least + ", but is " + given);
        }
    }

    /** {@return the sizes of what the job runs} */
    public ModelSizes sizes() {
        return job.sizes(this);
    }

    /** {@return the sizes of a GPT} */
    public GptSpec spec() {
        GptSize size = GptSize.named(model);
        return GptSpec.of(layers == 0 ? size.layers() : layers, size.heads(), size.width())
                .grid(TokenGrid.of(grid, grid))
                .build();
    }

    /**
     * The arguments that mean these settings, here and to the PyTorch peer, all but the precision. A grid as published
     * is left out: then a peer needs no such option.
     *
     * @return program arguments
     */
    public List<String> arguments() {
        List<String> arguments = new ArrayList<>(List.of(job.toString(), "--model", model));
        arguments.addAll(List.of("--layers", Integer.toString(layers), "--batch", Integer.toString(batch)));
        arguments.addAll(List.of("--patch", Integer.toString(patch), "--steps", Integer.toString(steps)));
        arguments.addAll(List.of("--tokens", Integer.toString(tokens), "--cfg", Double.toString(cfg)));
        if (grid != PUBLISHED_GRID) {
            arguments.addAll(List.of("--grid", Integer.toString(grid)));
        }
        return arguments;
    }
}
