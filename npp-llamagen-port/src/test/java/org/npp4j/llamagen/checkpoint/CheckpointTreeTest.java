package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.factory.Nd4j;

class CheckpointTreeTest {
    private static final Path FILE = Path.of("a.safetensors");

    /** As argparse.Namespace. */
    private static PickledObject namespace(Map<Object, Object> attributes) {
        PickledObject object = PickledObject.named("argparse", "Namespace").called(List.of());
        object.setState(attributes);
        return object;
    }

    @Test
    void attributesThatContainTheirObject() {
        Map<Object, Object> attributes = new LinkedHashMap<>();
        PickledObject object = namespace(attributes);
        List<Object> list = new ArrayList<>(List.of(1L));
        list.add(list);
        attributes.put("self", object);
        attributes.put("list", list);
        assertEquals(Map.of("self", "argparse.Namespace", "list", List.of(1L, "..")), CheckpointTree.plain(object));
    }

    @Test
    void attributesThatNestWithoutEnd() {
        Map<Object, Object> attributes = new LinkedHashMap<>();
        Object innermost = new ArrayList<>();
        for (int i = 0; i < 200_000; i++) {
            innermost = new ArrayList<>(List.of(innermost));
        }
        attributes.put("deep", innermost);
        int depth = 0;
        Object plain = ((Map<?, ?>) CheckpointTree.plain(namespace(attributes))).get("deep");
        for (; plain instanceof List<?> list; plain = list.get(0)) {
            depth++;
        }
        assertEquals("..", plain);
        assertTrue(depth < 500, "depth " + depth);
    }

    /** A list of ten lists of ten lists .., which all are the same ones: 10^60 if it is written out. */
    @Test
    void sharedParts() throws Exception {
        Object shared = TensorSource.of(Nd4j.createFromArray(1, 2));
        for (int level = 0; level < 60; level++) {
            List<Object> tenfold = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                tenfold.add(shared);
            }
            shared = tenfold;
        }
        Object plain = CheckpointTree.plain(shared);
        assertSame(((List<?>) plain).get(0), ((List<?>) plain).get(9));
        assertEquals(1, CheckpointTree.tensors(plain).size());
        CheckpointException e = assertThrows(
                CheckpointException.class, () -> CheckpointTree.toJson(FILE, plain, (path, tensor) -> null));
        assertTrue(e.getMessage().contains("MiB of objects"), e::getMessage);
    }

    @Test
    void pathsOfTensors() throws Exception {
        TensorSource a = TensorSource.of(Nd4j.createFromArray(1));
        Map<Object, Object> root = new LinkedHashMap<>();
        root.put("x", List.of(1L, Tuple.of(a)));
        root.put(7L, a);
        List<String> paths = new ArrayList<>();
        CheckpointTree.toJson(FILE, root, (path, tensor) -> {
            paths.add(path);
            return path;
        });
        assertEquals(List.of("x.1.0", "7"), paths);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{", "[1] 2", "{\"a\": x}"})
    void whatIsNoJson(String text) {
        refused(text, "is no JSON");
    }

    @Test
    void jsonBeyondMeasure() {
        refused("[".repeat(1_000_000), "levels deep");
        refused("[" + "1".repeat(1_000_000) + "]", "a number of more than 5000 digits");
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"$bytes\": \"%\"}", "{\"$float\": \"one\"}", "{\"$tuple\": 1}", "{\"$map\": {}}"})
    void whatIsNoCheckpoint(String text) {
        refused(text, "is damaged: the description of its nesting has");
    }

    private static void refused(String text, String message) {
        CheckpointException e = assertThrows(
                CheckpointException.class,
                () -> CheckpointTree.fromJson(FILE, CheckpointTree.parse(FILE, text), name -> null));
        assertTrue(e.getMessage().startsWith(FILE + " ") && e.getMessage().contains(message), e::getMessage);
    }
}
