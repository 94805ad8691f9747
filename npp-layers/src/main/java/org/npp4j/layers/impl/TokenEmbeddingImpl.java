package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.DynamicCustomOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenEmbedding;

/** Run-time half of {@link TokenEmbedding}. */
public final class TokenEmbeddingImpl extends SequenceLayerImpl<TokenEmbedding> {
    private static final long serialVersionUID = 1L;

    /** The ids of the last training pass, after dropout. */
    private transient int[] trainingIds;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public TokenEmbeddingImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        int[] ids = ids();
        if (training) {
            dropIds(ids);
        }
        trainingIds = training ? ids : null;
        long batch = input.size(0);
        long width = layerConf().getNOut();
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {batch, ids.length / batch, width}, 'c');
        INDArray rows = out.reshape(ids.length, width);
        Nd4j.pullRows(getParam(TokenEmbedding.TABLE), rows, 1, ids);
        applyTokenMask(rows);
        return out;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (trainingIds == null) {
            throw new IllegalStateException("The backward pass needs the training forward pass before it " + layerId());
        }
        INDArray dRows = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        if (maskArray != null) {
            dRows = workspaceMgr.dup(ArrayType.BP_WORKING_MEM, dRows, 'c');
            applyTokenMask(dRows);
        }
        INDArray dTable = gradientViews.get(TokenEmbedding.TABLE);
        dTable.assign(0);
        // An id may occur many times: true locks the rows of the table, so that no addition is lost between threads.
        Nd4j.exec(DynamicCustomOp.builder("scatter_add")
                .addInputs(dTable, Nd4j.createFromArray(trainingIds), dRows)
                .addOutputs(dTable)
                .addBooleanArguments(true)
                .build());
        return new Pair<>(gradients(), null);
    }

    private int[] ids() {
        boolean rank3 = input.rank() == 3 && input.size(1) == 1;
        if (input.rank() != 2 && !rank3) {
            throw new IllegalArgumentException("Token ids come as [batch, positions] or [batch, 1, positions], got "
                    + Arrays.toString(input.shape()) + " " + layerId());
        }
        double[] values = input.dup('c').data().asDouble();
        int[] ids = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            ids[i] = (int) values[i];
            if (ids[i] != values[i] || ids[i] < 0 || ids[i] >= layerConf().getNIn()) {
                long positions = values.length / input.size(0);
                throw new IllegalArgumentException("Token id " + values[i] + " at example " + i / positions
                        + ", position "
                        + i % positions + " is not a whole number in the vocabulary, 0 .. "
                        + (layerConf().getNIn() - 1) + ". Check the codes, or the vocabulary size " + layerId());
            }
        }
        return ids;
    }

    private void dropIds(int[] ids) {
        double probability = layerConf().getDropout();
        if (probability > 0) {
            double[] chance = Nd4j.rand(DataType.DOUBLE, ids.length).data().asDouble();
            for (int i = 0; i < ids.length; i++) {
                if (chance[i] < probability) {
                    ids[i] = (int) layerConf().getReplacement();
                }
            }
        }
    }

    private void applyTokenMask(INDArray rows) {
        if (maskArray != null) {
            INDArray mask = maskArray.castTo(dataType).dup('c').reshape(rows.size(0));
            Nd4j.exec(new BroadcastMulOp(rows, mask, rows, 0));
        }
    }

    @Override
    public void clear() {
        super.clear();
        trainingIds = null;
    }
}
