package org.npp4j.layers.impl;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.FlowLayer;

/** Times as cosines, then sines, of {@link FlowLayer#FREQUENCIES} frequencies. */
final class TimeWaves {
    private static final double TIME_SCALE = 1000;
    private static final double LONGEST_PERIOD = 10000;

    private TimeWaves() {}

    /** [times, 2 x frequencies]. */
    static INDArray of(double[] times) {
        double[][] waves = new double[times.length][2 * FlowLayer.FREQUENCIES];
        for (int row = 0; row < times.length; row++) {
            for (int i = 0; i < FlowLayer.FREQUENCIES; i++) {
                double angle = TIME_SCALE * times[row] * frequency(i);
                waves[row][i] = Math.cos(angle);
                waves[row][FlowLayer.FREQUENCIES + i] = Math.sin(angle);
            }
        }
        return Nd4j.createFromArray(waves);
    }

    /** The gradient of the times from that of the waves. */
    static double[] gradient(INDArray waves, INDArray dWaves) {
        double[][] wave = waves.castTo(DataType.DOUBLE).toDoubleMatrix();
        double[][] dWave = dWaves.castTo(DataType.DOUBLE).toDoubleMatrix();
        double[] gradient = new double[wave.length];
        for (int row = 0; row < wave.length; row++) {
            for (int i = 0; i < FlowLayer.FREQUENCIES; i++) {
                double cos = wave[row][i];
                double sin = wave[row][FlowLayer.FREQUENCIES + i];
                gradient[row] +=
                        TIME_SCALE * frequency(i) * (dWave[row][FlowLayer.FREQUENCIES + i] * cos - dWave[row][i] * sin);
            }
        }
        return gradient;
    }

    private static double frequency(int i) {
        return Math.exp(-Math.log(LONGEST_PERIOD) * i / FlowLayer.FREQUENCIES);
    }
}
