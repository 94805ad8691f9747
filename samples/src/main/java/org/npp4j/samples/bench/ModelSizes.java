package org.npp4j.samples.bench;

import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.tokenizer.VqConfig;

/**
 * The sizes of the model that a job runs: of a GPT or of a tokenizer.
 *
 * @param gpt null for a tokenizer's job
 * @param tokenizer null for a GPT's job
 */
public record ModelSizes(GptSpec gpt, VqConfig tokenizer) {
    /**
     * Of a GPT.
     *
     * @param gpt its sizes
     * @return the sizes
     */
    public static ModelSizes of(GptSpec gpt) {
        return new ModelSizes(gpt, null);
    }

    /**
     * Of a tokenizer.
     *
     * @param tokenizer its sizes
     * @return the sizes
     */
    public static ModelSizes of(VqConfig tokenizer) {
        return new ModelSizes(null, tokenizer);
    }
}
