package example;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;

/** Uses the installed modules as any project would. */
final class Consumer {
    private Consumer() {}

    public static void main(String[] args) {
        System.out.println("PatchAverage: [3, 64, 5] -> " + Arrays.toString(patchAverageShape()));
    }

    /** An 8 x 8 grid in patches of side 2. */
    static long[] patchAverageShape() {
        INDArray tokens = Nd4j.rand(DataType.FLOAT, 3, 64, 5);
        return new PatchAverage(TokenGrid.of(8, 8), 2, RNNFormat.NWC)
                .preProcess(tokens, 3, LayerWorkspaceMgr.noWorkspaces())
                .shape();
    }
}
