package org.npp4j.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.updater.graph.ComputationGraphUpdater;
import org.deeplearning4j.spark.api.worker.NetBroadcastTuple;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/** What Spark sends arrives: layers, loss, preprocessor and schedules, weights, optimizer, token ids. */
class SerializationTest {
    private static final int VOCABULARY = 9;

    @Test
    void aNetworkArrivesInItsStageAndTrainsOn() throws IOException, ClassNotFoundException {
        TrainingPlan plan = TrainingPlan.of(GptSpec.of(2, 2, 16)
                        .vocabulary(VOCABULARY)
                        .classes(3)
                        .grid(TokenGrid.of(4, 4))
                        .build())
                .stages(PatchStages.parse("2:1it,4:3it,1:5it"))
                .scheduled(true)
                .batchSize(4)
                .build();
        ComputationGraph here = plan.network(5).init();
        here.fit(batch(1));
        here.fit(batch(2));

        NetBroadcastTuple sent = arrived(new NetBroadcastTuple(
                here.getConfiguration(), here.params(), here.getUpdater().getStateViewArray()));
        ComputationGraphConfiguration configuration = sent.getGraphConfiguration();
        assertEquals(here.getConfiguration().toJson(), configuration.toJson());
        assertEquals(2, configuration.getIterationCount());
        ComputationGraph there = new ComputationGraph(configuration);
        there.init(sent.getParameters(), false);
        there.setUpdater(new ComputationGraphUpdater(there, sent.getUpdaterState()));
        PatchAverage average = StageScheduler.patchAveragesOf(there).get(0);
        assertNotSame(StageScheduler.patchAveragesOf(here).get(0), average);
        assertEquals(4, average.getPatchSide());

        MultiDataSet batch = arrived(batch(3));
        assertEquals(DataType.INT32, batch.getFeatures(0).dataType());
        assertEquals(DataType.INT32, batch.getLabels(0).dataType());
        Nd4j.getRandom().setSeed(7);
        here.fit(batch(3));
        Nd4j.getRandom().setSeed(7);
        there.fit(batch);
        assertEquals(here.score(), there.score());
        assertEquals(0, here.params().sub(there.params()).amaxNumber().doubleValue(), "the same step, to the bit");
    }

    private static MultiDataSet batch(int seed) {
        int[][] tokens = new int[4][16];
        int[][] classes = new int[4][1];
        for (int i = 0; i < tokens.length; i++) {
            for (int j = 0; j < tokens[i].length; j++) {
                tokens[i][j] = (seed * 5 + i * 7 + j * j) % VOCABULARY;
            }
            classes[i][0] = i % 3;
        }
        return new MultiDataSet(
                new INDArray[] {Nd4j.createFromArray(tokens), Nd4j.createFromArray(classes)},
                new INDArray[] {Nd4j.createFromArray(tokens)});
    }

    @SuppressWarnings("unchecked")
    private static <T> T arrived(T sent) throws IOException, ClassNotFoundException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(sent);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            return (T) in.readObject();
        }
    }
}
