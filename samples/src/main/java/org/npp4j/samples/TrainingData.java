package org.npp4j.samples;

import java.io.IOException;
import java.util.Map;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/** What a GPT is trained on. */
interface TrainingData extends AutoCloseable {
    /** {@return the vocabulary that the data have, null if they do not say} */
    Integer vocabulary();

    /** {@return the classes that the data have, null if they do not say} */
    Integer classes();

    /** {@return the tokens of an image, null if the data only say how many} */
    TokenGrid grid();

    /**
     * Refuses a model that the data are not for.
     *
     * @param model its sizes
     * @throws IllegalArgumentException if tokens, codes or classes do not agree
     */
    void requireFits(GptSpec model);

    /** {@return what tells these data from others, name to value} */
    Map<String, String> description();

    /** {@return images of an epoch, before the last short batch is dropped} */
    long images();

    /**
     * The batches.
     *
     * @param model whose codes and classes are allowed
     * @param batchSize images of a step
     * @param seed of the order
     * @return shuffled anew in every epoch; the last short batch is dropped
     * @throws IllegalArgumentException if there are less images than a batch has
     */
    EpochDataSetIterator batches(GptSpec model, int batchSize, long seed);

    /**
     * The images to test on.
     *
     * @param model whose codes and classes are allowed
     * @param batchSize images at a time
     * @return batches of all of them; null if there are none
     */
    MultiDataSetIterator test(GptSpec model, int batchSize);

    /** {@return what makes pictures of tokens; null if none was given} */
    ImageTokenizer tokenizer();

    @Override
    void close() throws IOException;
}
