package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class StoredTensorTest {
    @TempDir
    private Path folder;

    /** Random views of a storage, against a plain loop. */
    @Test
    void viewsOfAnyStrides() throws Exception {
        int[] storage = new Random(3).ints(400_000).toArray();
        ByteBuffer bytes = ByteBuffer.allocate(8 + 4 * storage.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.position(8);
        bytes.asIntBuffer().put(storage);
        Path path = Files.write(folder.resolve("numbers"), bytes.array());
        Random random = new Random(4);
        try (FileBytes file = FileBytes.open(path)) {
            Storage stored = new Storage(ElementType.ofDtype("int32"), storage.length);
            stored.place(file, 8);
            for (int round = 0; round < 300; round++) {
                long[] shape = new long[random.nextInt(5)];
                long[] strides = new long[shape.length];
                long last = 0;
                for (int axis = 0; axis < shape.length; axis++) {
                    shape[axis] = 1 + random.nextInt(round < 20 && shape.length == 2 ? 600 : 9);
                    strides[axis] = random.nextInt(3) == 0 ? 1 : random.nextInt(300);
                    last += (shape[axis] - 1) * strides[axis];
                }
                if (last >= storage.length) {
                    continue;
                }
                long offset = random.nextInt((int) (storage.length - last));
                StoredTensor tensor = new StoredTensor(file, stored, stored.element(), offset, shape.clone(), strides);
                int[] expected = new int[(int) tensor.elements()];
                long sum = 0;
                for (int i = 0; i < expected.length; i++) {
                    long at = offset;
                    long rest = i;
                    for (int axis = shape.length - 1; axis >= 0; axis--) {
                        at += rest % shape[axis] * strides[axis];
                        rest /= shape[axis];
                    }
                    expected[i] = storage[(int) at];
                    sum += expected[i];
                }
                assertEquals(sum, tensor.sum());
                INDArray array = tensor.toArray();
                assertArrayEquals(expected, array.reshape(array.length()).toIntVector());
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                tensor.writeTo(out);
                assertEquals(4 * expected.length, out.size());
            }
        }
    }

    /** All types into all types, larger than one block, into targets of every kind. */
    @Test
    void convertsIntoTargetsOfAnyStrides() throws Exception {
        INDArray numbers =
                Nd4j.arange(700 * 600).castTo(DataType.FLOAT).muli(37).addi(11).fmodi(113);
        INDArray matrix = numbers.reshape('c', 700, 600);
        for (TensorType type : TensorType.values()) {
            Path path = folder.resolve("one.pt");
            PyTorchWriter.write(path, TensorSource.of(matrix.castTo(type.dataType())));
            INDArray expected =
                    type == TensorType.BOOL ? matrix.castTo(DataType.BOOL).castTo(DataType.FLOAT) : matrix;
            try (TensorFile file = TensorFile.open(path)) {
                StoredTensor tensor = file.tensors().get("");
                assertEquals(expected.castTo(type.dataType()), tensor.toArray());
                assertEquals(expected.castTo(DataType.DOUBLE).sumNumber().doubleValue(), tensor.sum(), 1e-6);
                INDArray[] targets = {
                    Nd4j.create(DataType.FLOAT, 700, 600),
                    Nd4j.create(DataType.DOUBLE, 700, 600),
                    Nd4j.createUninitialized(DataType.FLOAT, new long[] {600, 700}, 'c')
                            .transpose(),
                    Nd4j.createUninitialized(DataType.FLOAT, new long[] {600, 700}, 'f')
                            .transpose(),
                    Nd4j.create(DataType.FLOAT, 900, 800)
                            .get(NDArrayIndex.interval(100, 800), NDArrayIndex.interval(50, 650)),
                    Nd4j.create(DataType.FLOAT, 2, 700, 600).get(NDArrayIndex.point(1)),
                    Nd4j.create(DataType.INT32, 700, 600)
                };
                for (INDArray target : targets) {
                    tensor.readInto(target);
                    assertEquals(
                            expected,
                            target.castTo(DataType.FLOAT),
                            () -> type + " into " + target.shapeInfoToString());
                }
            }
        }
    }

    @Test
    void oneRowLongerThanABlock() throws Exception {
        INDArray rows = Nd4j.rand(DataType.DOUBLE, 3, 200_000);
        Path path = folder.resolve("rows.safetensors");
        SafetensorsWriter.write(path, Map.of("rows", TensorSource.of(rows)), Map.of());
        try (TensorFile file = TensorFile.open(path)) {
            INDArray wide =
                    Nd4j.create(DataType.DOUBLE, 3, 200_001).get(NDArrayIndex.all(), NDArrayIndex.interval(1, 200_001));
            file.tensors().get("rows").readInto(wide);
            assertEquals(rows, wide);
            Path again = folder.resolve("again.safetensors");
            SafetensorsWriter.write(again, Map.of("rows", TensorSource.of(wide)), Map.of());
            assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(again));
        }
    }

    @Test
    void readsInsideAWorkspace() throws Exception {
        WorkspaceConfiguration settings =
                WorkspaceConfiguration.builder().initialSize(1 << 20).build();
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("views.pt"))) {
            for (int round = 0; round < 3; round++) {
                try (MemoryWorkspace ignored =
                        Nd4j.getWorkspaceManager().getAndActivateWorkspace(settings, "checkpoint")) {
                    INDArray array = file.tensors().get("transposed").toArray();
                    assertEquals(276, array.sumNumber().intValue());
                    assertEquals(6, array.getInt(0, 1));
                }
            }
        }
    }

    @Test
    void anotherShapeIsRefused() throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("views.pt"))) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> file.tensors().get("whole").readInto(Nd4j.create(DataType.FLOAT, 6, 4)));
            assertTrue(
                    e.getMessage().contains("Tensor whole of")
                            && e.getMessage().contains("[4, 6]")
                            && e.getMessage().contains("[6, 4]"),
                    e::getMessage);
        }
    }

    @Test
    void sumsAreExactEnough() throws Exception {
        float[] numbers = new float[1 << 20];
        Random random = new Random(5);
        double exact = 0;
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = i % 1000 == 0 ? Float.NaN : i % 1001 == 0 ? Float.NEGATIVE_INFINITY : random.nextInt(1 << 20);
            exact += Float.isFinite(numbers[i]) ? numbers[i] : 0;
        }
        double[] cancelling = {1e16, 1, -1e16, 1};
        double[] spread = new double[2048];
        spread[0] = 1e16;
        spread[1024] = 1;
        spread[2047] = -1e16;
        Path path = folder.resolve("sums.pt");
        PyTorchWriter.write(
                path,
                List.of(
                        TensorSource.of(Nd4j.createFromArray(numbers)),
                        TensorSource.of(Nd4j.createFromArray(spread)),
                        TensorSource.of(Nd4j.createFromArray(Double.MAX_VALUE, Double.MAX_VALUE)),
                        TensorSource.of(Nd4j.createFromArray(cancelling))));
        try (TensorFile file = TensorFile.open(path)) {
            assertEquals(exact, file.tensors().get("0").sum());
            assertEquals(1, file.tensors().get("1").sum());
            assertEquals(Double.MAX_VALUE, file.tensors().get("2").sum());
            assertEquals(2, file.tensors().get("3").sum(), 1);
        }
    }
}
