package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.GradientNormalization;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.stepfunctions.NegativeGradientStepFunction;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.updater.graph.ComputationGraphUpdater;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Each network trains beside a twin with Deeplearning4j's own updater. */
class FusedUpdaterTest {
    private static final int STEPS = 8;

    private static final IUpdater ADAM = new TorchAdam.Builder()
            .learningRate(new StageLearningRate.Builder(PatchStages.parse("2:4it,1:10it"))
                    .learningRate(1e-2)
                    .endLearningRate(1e-3)
                    .warmup(2)
                    .decayRatio(0.5)
                    .build())
            .beta2(0.95)
            .build();

    /** Networks whose parameters go through all the ways there are. */
    private enum Kind {
        ADAM_W {
            @Override
            void configure(NeuralNetConfiguration.Builder all, DenseLayer.Builder first, DenseLayer.Builder second) {
                first.weightDecay(0.1, true);
                second.weightDecay(0.3, false);
            }
        },
        SUM_OF_THE_BATCH {
            @Override
            void configure(NeuralNetConfiguration.Builder all, DenseLayer.Builder first, DenseLayer.Builder second) {
                all.miniBatch(false);
                first.weightDecay(0.1, true).weightDecayBias(0.1, true);
            }
        },
        ANOTHER_UPDATER {
            @Override
            void configure(NeuralNetConfiguration.Builder all, DenseLayer.Builder first, DenseLayer.Builder second) {
                first.weightDecay(0.1, true);
                second.updater(new Sgd(0.1)).biasUpdater(new Sgd(0.2));
            }
        },
        ANOTHER_REGULARIZATION {
            @Override
            void configure(NeuralNetConfiguration.Builder all, DenseLayer.Builder first, DenseLayer.Builder second) {
                first.weightDecay(0.1, true);
                second.l2(0.1).l1(0.01);
            }
        };

        abstract void configure(
                NeuralNetConfiguration.Builder all, DenseLayer.Builder first, DenseLayer.Builder second);

        ComputationGraph network(DataType type) {
            NeuralNetConfiguration.Builder all =
                    new NeuralNetConfiguration.Builder().seed(3).dataType(type).updater(ADAM);
            DenseLayer.Builder first = dense(3, 40);
            DenseLayer.Builder second = dense(40, 6);
            configure(all, first, second);
            return FusedUpdaterTest.network(all, first.build(), second.build());
        }
    }

    private static DenseLayer.Builder dense(int in, int out) {
        return new DenseLayer.Builder().nIn(in).nOut(out).activation(Activation.TANH);
    }

    /** With batch normalisation, whose running means travel with the gradients and are no gradients. */
    private static ComputationGraph network(NeuralNetConfiguration.Builder all, DenseLayer first, DenseLayer second) {
        ComputationGraph network = new ComputationGraph(all.graphBuilder()
                .addInputs("in")
                .addLayer("first", first, "in")
                .addLayer("norm", new BatchNormalization.Builder().nOut(40).build(), "first")
                .addLayer("second", second, "norm")
                .addLayer(
                        "out",
                        new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                                .nIn(6)
                                .nOut(2)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "second")
                .setOutputs("out")
                .build());
        network.init();
        return network;
    }

    private static List<DataSet> batches(DataType type) {
        Random random = new Random(5);
        List<DataSet> batches = new ArrayList<>();
        for (int i = 0; i < STEPS; i++) {
            int size = 3 + random.nextInt(5);
            Nd4j.getRandom().setSeed(50 + i);
            batches.add(new DataSet(Nd4j.randn(type, size, 3), Nd4j.randn(type, size, 2)));
        }
        return batches;
    }

    private static void train(ComputationGraph network, DataType type) {
        batches(type).forEach(network::fit);
    }

    private static void assertEqualNetworks(ComputationGraph expected, ComputationGraph actual, double tolerance) {
        assertArrayEquals(expected.params().toDoubleVector(), actual.params().toDoubleVector(), tolerance);
        assertArrayEquals(
                expected.getUpdater().getStateViewArray().dup().data().asDouble(),
                actual.getUpdater().getStateViewArray().dup().data().asDouble(),
                tolerance);
    }

    @ParameterizedTest
    @EnumSource
    void movesAsDeeplearning4jDoes(Kind kind) {
        for (DataType type : new DataType[] {DataType.DOUBLE, DataType.FLOAT}) {
            for (double maxNorm : new double[] {0.05, 100}) {
                ComputationGraph plain = kind.network(type);
                ComputationGraph fused = kind.network(type);
                FusedUpdater.attachTo(fused);
                plain.setListeners(new GlobalNormClipping(maxNorm));
                fused.setListeners(new GlobalNormClipping(maxNorm));
                INDArray start = plain.params().dup();
                train(plain, type);
                train(fused, type);
                assertTrue(start.distance2(fused.params()) > 0.05);
                assertEqualNetworks(plain, fused, type == DataType.DOUBLE ? 1e-12 : 2e-5);
            }
        }
    }

    @Test
    void theStrictestOfSeveralClippingsCounts() {
        for (double[] norms : new double[][] {{0.05, 1}, {1, 0.05}}) {
            ComputationGraph plain = Kind.ADAM_W.network(DataType.DOUBLE);
            ComputationGraph fused = Kind.ADAM_W.network(DataType.DOUBLE);
            FusedUpdater.attachTo(fused);
            plain.setListeners(new GlobalNormClipping(0.05));
            fused.setListeners(new GlobalNormClipping(norms[0]), new GlobalNormClipping(norms[1]));
            train(plain, DataType.DOUBLE);
            train(fused, DataType.DOUBLE);
            assertEqualNetworks(plain, fused, 1e-12);
        }
    }

    @Test
    void aStepThatFailedLeavesNoClippingBehind() {
        ComputationGraph plain = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph fused = Kind.ADAM_W.network(DataType.DOUBLE);
        FusedUpdater.attachTo(fused);
        TrainingListener clipping = new GlobalNormClipping(0.6);
        TrainingListener failing = new BaseTrainingListener() {
            @Override
            public void onGradientCalculation(Model model) {
                throw new IllegalStateException("stop");
            }
        };
        fused.setListeners(clipping, failing);
        DataSet large = batches(DataType.DOUBLE).get(0);
        large.setLabels(large.getLabels().mul(1000));
        assertThrows(IllegalStateException.class, () -> fused.fit(large));
        fused.setParams(plain.params());
        fused.setListeners(clipping);
        plain.setListeners(new GlobalNormClipping(0.6));
        train(plain, DataType.DOUBLE);
        train(fused, DataType.DOUBLE);
        assertEqualNetworks(plain, fused, 1e-12);
    }

    @Test
    void keepsTheStateAndSurvivesASave(@TempDir Path folder) throws Exception {
        ComputationGraph plain = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph fused = Kind.ADAM_W.network(DataType.DOUBLE);
        train(plain, DataType.DOUBLE);
        train(fused, DataType.DOUBLE);
        FusedUpdater.attachTo(fused);
        assertEqualNetworks(plain, fused, 0);
        train(plain, DataType.DOUBLE);
        train(fused, DataType.DOUBLE);
        File file = folder.resolve("network.zip").toFile();
        ModelSerializer.writeModel(fused, file, true);
        ComputationGraph restored = ModelSerializer.restoreComputationGraph(file, true);
        assertEqualNetworks(plain, restored, 1e-12);
        FusedUpdater.attachTo(restored);
        train(plain, DataType.DOUBLE);
        train(restored, DataType.DOUBLE);
        assertEqualNetworks(plain, restored, 1e-12);
    }

    @Test
    void copiesAndReplacedUpdatersTrainAsEver() {
        ComputationGraph fused = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph replaced = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph plain = Kind.ADAM_W.network(DataType.DOUBLE);
        FusedUpdater.attachTo(fused);
        FusedUpdater.attachTo(replaced);
        replaced.setUpdater(new ComputationGraphUpdater(replaced));
        ComputationGraph copy = fused.clone();
        assertFalse(copy.getUpdater() instanceof FusedUpdater);
        for (ComputationGraph network : List.of(plain, copy, replaced)) {
            network.setListeners(new GlobalNormClipping(0.05));
            train(network, DataType.DOUBLE);
        }
        assertEqualNetworks(plain, copy, 0);
        assertEqualNetworks(plain, replaced, 0);
    }

    /** As a network does whose gradients come from elsewhere: the updater turns them into updates and moves nothing. */
    @Test
    void leavesGradientsOfAnotherNetworkToDeeplearning4j() {
        ComputationGraph source = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph plain = Kind.ADAM_W.network(DataType.DOUBLE);
        ComputationGraph fused = Kind.ADAM_W.network(DataType.DOUBLE);
        FusedUpdater.attachTo(fused);
        INDArray before = fused.params().dup();
        INDArray[] updates = new INDArray[2];
        for (int i = 0; i < 2; i++) {
            DataSet batch = batches(DataType.DOUBLE).get(0);
            source.setInputs(batch.getFeatures());
            source.setLabels(batch.getLabels());
            source.computeGradientAndScore();
            Gradient gradient = source.gradient();
            (i == 0 ? plain : fused).getUpdater().update(gradient, 3, 0, 4, LayerWorkspaceMgr.noWorkspacesImmutable());
            updates[i] = gradient.gradient().dup();
        }
        assertArrayEquals(updates[0].toDoubleVector(), updates[1].toDoubleVector(), 1e-12);
        assertEquals(before, fused.params());
    }

    @Test
    void refusesWhatItWouldPassOver() {
        NeuralNetConfiguration.Builder all = new NeuralNetConfiguration.Builder().updater(ADAM);
        ComputationGraph normalized = network(
                all,
                dense(3, 40)
                        .gradientNormalization(GradientNormalization.ClipL2PerLayer)
                        .build(),
                dense(40, 6).build());
        assertEquals(
                "FusedUpdater knows no gradient normalization, but layer first has ClipL2PerLayer. Clip by the global norm"
                        + " with a GlobalNormClipping listener, or leave the FusedUpdater out",
                assertThrows(IllegalArgumentException.class, () -> FusedUpdater.attachTo(normalized))
                        .getMessage());
        ComputationGraph stepping = Kind.ADAM_W.network(DataType.DOUBLE);
        stepping.conf().setStepFunction(new NegativeGradientStepFunction());
        assertEquals(
                "FusedUpdater subtracts updates from parameters, but the network has the step function"
                        + " NegativeGradientStepFunction. Leave the step function or the FusedUpdater out",
                assertThrows(IllegalArgumentException.class, () -> FusedUpdater.attachTo(stepping))
                        .getMessage());
    }
}
