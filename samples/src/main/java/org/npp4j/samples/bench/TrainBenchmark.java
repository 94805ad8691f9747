package org.npp4j.samples.bench;

import java.util.Locale;
import java.util.Random;
import java.util.function.Consumer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.schedule.FusedUpdater;
import org.npp4j.schedule.GlobalNormClipping;

/**
 * Training steps on random tokens: forward pass with dropouts of 0.1, patch cross-entropy, backward pass, clipping by the
 * global norm 1, AdamW with decay 0.05 of matrices. The first step, which learns the sizes of workspaces, does not count.
 */
final class TrainBenchmark implements Benchmark {
    private static final double DROPOUT = 0.1;
    private static final double WEIGHT_DECAY = 0.05;
    private static final double MAX_NORM = 1;
    private static final long SEED = 1;

    @Override
    public Timings run(ModelSizes sizes, BenchSettings settings, Consumer<String> progress) {
        GptSpec spec = sizes.gpt();
        LlamaGen model = LlamaGen.of(spec)
                .patchSide(settings.patch())
                .tokenDropout(DROPOUT)
                .residualDropout(DROPOUT)
                .feedForwardDropout(DROPOUT)
                .weightDecay(WEIGHT_DECAY)
                .seed(SEED);
        progress.accept(
                String.format(Locale.ROOT, "Making a model of %.0f million parameters", spec.parameters() / 1e6));
        ComputationGraph network = model.init();
        FusedUpdater.attachTo(network);
        network.setListeners(new GlobalNormClipping(MAX_NORM));
        MultiDataSet batch = randomBatch(spec, settings.batch());
        double[] seconds = new double[settings.steps()];
        for (int step = 0; step <= settings.steps(); step++) {
            long start = System.nanoTime();
            network.fit(batch);
            double time = (System.nanoTime() - start) / 1e9;
            progress.accept(String.format(
                    Locale.ROOT,
                    "Step %d of %d: %.3f s%s",
                    step,
                    settings.steps(),
                    time,
                    step == 0 ? ", which does not count" : ""));
            if (step > 0) {
                seconds[step - 1] = time;
            }
        }
        return new Timings(seconds, "images", settings.batch());
    }

    /** Token ids [B, N] and class ids [B, 1]; labels are the token ids. */
    private static MultiDataSet randomBatch(GptSpec spec, int batch) {
        INDArray ids = RandomTokens.of(spec, batch, SEED);
        int[] classes = new Random(SEED).ints(batch, 0, spec.classes()).toArray();
        INDArray classIds = Nd4j.createFromArray(classes).reshape(batch, 1);
        return new MultiDataSet(new INDArray[] {ids, classIds}, new INDArray[] {ids});
    }
}
