package org.npp4j.samples.bench;

import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;

/**
 * What to time. A job reads the settings that concern it.
 *
 * @param model published name of a size; conditioned on classes, whatever the size was published for
 * @param layers blocks instead of the size's own number, to fit a small machine; 0 for its own
 * @param batch images at a time
 * @param patch patch side p of a training step
 * @param steps training steps that count; one before them does not
 * @param tokens positions to sample that count; the first two do not
 * @param cfg guidance scale, 1 for none
 */
public record BenchSettings(String model, int layers, int batch, int patch, int steps, int tokens, double cfg) {
    /**
     * Checks the settings.
     *
     * @param model one of {@link GptSize}
     * @param layers 0 or above
     * @param batch at least 1
     * @param patch at least 1
     * @param steps at least 1
     * @param tokens at least 2
     * @param cfg at least 1
     * @throws IllegalArgumentException if a setting is out of its range
     */
    public BenchSettings {
        GptSize.named(model);
        requireAtLeast(0, layers, "--layers (0: as many as the model has)");
        requireAtLeast(1, batch, "--batch");
        requireAtLeast(1, patch, "--patch");
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

    /** {@return the sizes of the model} */
    public GptSpec spec() {
        GptSize size = GptSize.named(model);
        return GptSpec.of(layers == 0 ? size.layers() : layers, size.heads(), size.width())
                .build();
    }
}
