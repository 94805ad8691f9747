package org.npp4j.samples;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;

/** Token ids as the data of a stock next-token model. */
final class TokenBatches {
    private TokenBatches() {}

    /**
     * Batches in order; the last may be shorter.
     *
     * @param tokens ids [examples][N]
     * @param vocabulary V
     * @param batchSize B
     * @return the batches
     */
    static List<DataSet> of(int[][] tokens, int vocabulary, int batchSize) {
        List<DataSet> batches = new ArrayList<>();
        for (int from = 0; from < tokens.length; from += batchSize) {
            batches.add(one(Arrays.copyOfRange(tokens, from, Math.min(from + batchSize, tokens.length)), vocabulary));
        }
        return batches;
    }

    /**
     * One batch: features are the ids [B, N], labels the same tokens one-hot, [B, V, N].
     *
     * @param tokens ids [B][N]
     * @param vocabulary V
     * @return the batch
     */
    static DataSet one(int[][] tokens, int vocabulary) {
        INDArray ids = Nd4j.createFromArray(tokens);
        INDArray oneHot = Nd4j.zeros(DataType.FLOAT, tokens.length, vocabulary, tokens[0].length);
        for (int b = 0; b < tokens.length; b++) {
            for (int n = 0; n < tokens[b].length; n++) {
                oneHot.putScalar(b, tokens[b][n], n, 1);
            }
        }
        return new DataSet(ids, oneHot);
    }
}
