package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class FeaturesTest {
    @Test
    void growBatchByBatch() {
        INDArray all = Nd4j.rand(DataType.FLOAT, 5000, 3);
        try (Features features = Features.empty(3, DataType.FLOAT)) {
            for (int from = 0; from < 5000; from += 700) {
                features.add(all.get(NDArrayIndex.interval(from, Math.min(5000, from + 700)), NDArrayIndex.all()));
            }
            assertEquals(5000, features.images());
            for (int block = 0; block < features.blocks(); block++) {
                INDArray rows = features.block(block);
                int start = features.start(block);
                assertEquals(all.get(NDArrayIndex.interval(start, start + rows.size(0)), NDArrayIndex.all()), rows);
                assertEquals(rows.getFloat(1, 2), features.rows(block).floats()[5]);
            }
        }
    }

    @Test
    void otherTypesBecomeDoubles() {
        try (Features features =
                Features.of(Nd4j.arange(6).castTo(DataType.INT32).reshape(2, 3))) {
            assertEquals(5.0, features.rows(0).doubles()[5]);
        }
    }

    @Test
    void refusesWhatIsNoFeature() {
        INDArray bad = Nd4j.rand(DataType.FLOAT, 4, 3);
        bad.putScalar(2, 1, Float.NaN);
        assertMessage("Feature 1 of image 2 is not a number (NaN)", () -> Features.of(bad));
        bad.putScalar(2, 1, Float.NEGATIVE_INFINITY);
        assertMessage("Feature 1 of image 2 is -Infinity", () -> Features.of(bad));
        bad.putScalar(2, 1, 1e20);
        assertMessage("within +-1e15", () -> Features.of(bad));
        assertMessage("[images, features]", () -> Features.of(Nd4j.ones(3)));
        try (Features features = Features.of(Nd4j.ones(2, 3))) {
            assertMessage(
                    "Features of 3 numbers an image were there already, but 4", () -> features.add(Nd4j.ones(2, 4)));
        }
        assertMessage("at least 1 feature", () -> Features.empty(0, DataType.FLOAT));
    }
}
