package org.npp4j.llamagen.training;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.schedule.WeightAverage;

/**
 * What a run needs to go on as if nothing had happened: a folder that is there whole or not at all.
 *
 * <ul>
 *   <li>{@value #NETWORK}: weights, the optimizer's state, the counters of steps and epochs, the patch side; a network of
 *       Deeplearning4j, to be sampled from or loaded with {@link NetworkZip}
 *   <li>{@value #AVERAGE}: the moving average of the weights, if the plan has one ({@link WeightAverage#save})
 *   <li>{@value #STATE}: the plan, the data, the position in it, losses, and the checksums of the other files
 * </ul>
 *
 * <p>There is no other state: the learning rate and the stage follow from the counters, the order of images and all random
 * numbers from the seed and the position.
 *
 * @param folder of the checkpoint
 * @param plan that was trained
 * @param data what describes the data, name to value
 * @param batchesPerEpoch steps of an epoch
 * @param step steps made
 * @param epoch of the next step, from 0
 * @param batch of the next step in its epoch, from 0
 * @param images trained on so far
 * @param seconds of training so far, without checkpoints, tests and the like
 * @param trainingLoss mean loss of the steps since the checkpoint before, in this stage
 * @param testLoss of the test images, of a GPT at p = 1; if there are any
 * @param averageTestLoss the same with the moving average of the weights
 */
public record TrainingCheckpoint(
        Path folder,
        RunPlan plan,
        Map<String, String> data,
        int batchesPerEpoch,
        int step,
        int epoch,
        int batch,
        long images,
        double seconds,
        OptionalDouble trainingLoss,
        OptionalDouble testLoss,
        OptionalDouble averageTestLoss) {
    /** File of the network. */
    public static final String NETWORK = "network.zip";
    /** File of the moving average. */
    public static final String AVERAGE = "average.bin";
    /** File of everything else. */
    public static final String STATE = "state.json";

    private static final Pattern NAME = Pattern.compile("step-(\\d{9})");
    private static final int FORMAT = 1;
    private static final int BUFFER = 1 << 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    /**
     * Copies the description of the data.
     *
     * @param folder of the checkpoint
     * @param plan that was trained
     * @param data what describes the data
     * @param batchesPerEpoch steps of an epoch
     * @param step steps made
     * @param epoch of the next step
     * @param batch of the next step
     * @param images so far
     * @param seconds so far
     * @param trainingLoss of the steps since the checkpoint before
     * @param testLoss of the test images
     * @param averageTestLoss of the test images with the moving average
     */
    public TrainingCheckpoint {
        data = Collections.unmodifiableMap(new LinkedHashMap<>(data));
    }

    /** {@return the name of a checkpoint's folder} */
    static String name(int step) {
        return String.format("step-%09d", step);
    }

    /** {@return the file of the network} */
    public Path network() {
        return folder.resolve(NETWORK);
    }

    /** {@return index of the stage of the next step, from 0} */
    public int stage() {
        return plan.stageAt(step, batchesPerEpoch);
    }

    /**
     * The checkpoints of a GPT in a folder: {@link #list(Path, RunPlan.Parser)}.
     *
     * @param folder of checkpoints; need not exist
     * @return the checkpoints
     * @throws IOException if one cannot be read
     */
    public static List<TrainingCheckpoint> list(Path folder) throws IOException {
        return list(folder, TrainingPlan::parse);
    }

    /**
     * The checkpoints in a folder, oldest first. What a run that was killed left half written is not among them.
     *
     * @param folder of checkpoints; need not exist
     * @param parser of their plans
     * @return the checkpoints
     * @throws IOException if one cannot be read
     */
    public static List<TrainingCheckpoint> list(Path folder, RunPlan.Parser parser) throws IOException {
        List<TrainingCheckpoint> found = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            List<Path> folders;
            try (Stream<Path> entries = Files.list(folder)) {
                folders = entries.filter(entry ->
                                NAME.matcher(entry.getFileName().toString()).matches())
                        .sorted(Comparator.comparing(Path::getFileName))
                        .toList();
            }
            for (Path each : folders) {
                found.add(read(each, parser));
            }
        }
        return found;
    }

    /**
     * The newest checkpoint of a GPT in a folder of checkpoints.
     *
     * @param folder need not exist
     * @return the checkpoint, if there is any
     * @throws IOException if it cannot be read
     */
    public static Optional<TrainingCheckpoint> latest(Path folder) throws IOException {
        List<TrainingCheckpoint> all = list(folder);
        return all.isEmpty() ? Optional.empty() : Optional.of(all.get(all.size() - 1));
    }

    /**
     * Whether a folder is a checkpoint.
     *
     * @param folder any
     * @return whether it has a state
     */
    public static boolean isCheckpoint(Path folder) {
        return Files.isRegularFile(folder.resolve(STATE));
    }

    /**
     * Reads the state of a checkpoint of a GPT: {@link #read(Path, RunPlan.Parser)}.
     *
     * @param folder of the checkpoint
     * @return the checkpoint
     * @throws CheckpointException if it is none, or damaged
     * @throws IOException if it cannot be read
     */
    public static TrainingCheckpoint read(Path folder) throws IOException {
        return read(folder, TrainingPlan::parse);
    }

    /**
     * Reads the state of a checkpoint; network and average are only read when they are asked for.
     *
     * @param folder of the checkpoint
     * @param parser of its plan
     * @return the checkpoint
     * @throws CheckpointException if it is none, or damaged
     * @throws IOException if it cannot be read
     */
    public static TrainingCheckpoint read(Path folder, RunPlan.Parser parser) throws IOException {
        JsonNode state = state(folder);
        try {
            if (state.path("format").asInt() != FORMAT) {
                throw new CheckpointException(
                        folder,
                        "has format " + state.path("format") + ", but only " + FORMAT
                                + " is known. Use a newer version of this library");
            }
            Map<String, String> data = new LinkedHashMap<>();
            state.path("data")
                    .fields()
                    .forEachRemaining(
                            entry -> data.put(entry.getKey(), entry.getValue().asText()));
            return new TrainingCheckpoint(
                    folder,
                    parser.parse(require(state, "plan").toString()),
                    data,
                    require(state, "batches_per_epoch").asInt(),
                    require(state, "step").asInt(),
                    require(state, "epoch").asInt(),
                    require(state, "batch").asInt(),
                    require(state, "images").asLong(),
                    require(state, "seconds").asDouble(),
                    number(state, "training_loss"),
                    number(state, "test_loss"),
                    number(state, "ema_test_loss"));
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(folder, "has a damaged " + STATE + ": " + e.getMessage(), e);
        }
    }

    private static JsonNode state(Path folder) throws IOException {
        try {
            return JSON.readTree(Files.readString(folder.resolve(STATE)));
        } catch (NoSuchFileException e) {
            throw new CheckpointException(
                    folder,
                    "is no checkpoint of a training run: it has no " + STATE + ". Give one, or a run's folder",
                    e);
        } catch (JsonProcessingException e) {
            throw new CheckpointException(folder, "has a damaged " + STATE + ": " + e.getOriginalMessage(), e);
        }
    }

    private static JsonNode require(JsonNode state, String name) {
        JsonNode value = state.path(name);
        if (value.isMissingNode()) {
            throw new IllegalArgumentException("\"" + name + "\" is missing");
        }
        return value;
    }

    private static OptionalDouble number(JsonNode state, String name) {
        JsonNode value = state.path(name);
        return value.isNumber() ? OptionalDouble.of(value.asDouble()) : OptionalDouble.empty();
    }

    /** The content of {@value #STATE}; the files are written already. */
    String toJson(Map<String, String> versions) throws IOException {
        ObjectNode state = JSON.createObjectNode();
        state.put("format", FORMAT);
        state.put("step", step);
        state.put("epoch", epoch);
        state.put("batch", batch);
        state.put("batches_per_epoch", batchesPerEpoch);
        int stage = stage();
        state.put("stage", stage);
        state.put("patch_side", plan.patchSideOf(stage));
        state.put("learning_rate", plan.learningRateAt(step, batchesPerEpoch));
        state.put("random_seed", StepRandom.seed(plan.seed(), step));
        state.put("images", images);
        state.put("seconds", seconds);
        trainingLoss.ifPresent(loss -> state.put("training_loss", loss));
        testLoss.ifPresent(loss -> state.put("test_loss", loss));
        averageTestLoss.ifPresent(loss -> state.put("ema_test_loss", loss));
        ObjectNode files = state.putObject("files");
        for (String name : List.of(NETWORK, AVERAGE)) {
            Path file = folder.resolve(name);
            if (Files.exists(file)) {
                files.putObject(name).put("bytes", Files.size(file)).put("crc32c", checksum(file));
            }
        }
        ObjectNode described = state.putObject("data");
        data.forEach(described::put);
        ObjectNode used = state.putObject("versions");
        versions.forEach(used::put);
        state.set("plan", JSON.readTree(plan.toJson()));
        return state.toPrettyString() + "\n";
    }

    private static String checksum(Path file) throws IOException {
        CRC32C checksum = new CRC32C();
        byte[] bytes = new byte[BUFFER];
        try (InputStream in = Files.newInputStream(file)) {
            for (int read = in.read(bytes); read >= 0; read = in.read(bytes)) {
                checksum.update(bytes, 0, read);
            }
        }
        return String.format("%08x", checksum.getValue());
    }

    /**
     * Compares every file with its length and checksum.
     *
     * @throws CheckpointException if one is damaged or missing
     * @throws IOException if one cannot be read
     */
    public void requireWhole() throws IOException {
        for (Iterator<Map.Entry<String, JsonNode>> files =
                        state(folder).path("files").fields();
                files.hasNext(); ) {
            Map.Entry<String, JsonNode> entry = files.next();
            Path file = folder.resolve(entry.getKey()).normalize();
            JsonNode wanted = entry.getValue();
            if (!file.startsWith(folder.normalize())) {
                throw new CheckpointException(folder, "names a file outside of it: " + entry.getKey());
            }
            if (!Files.isRegularFile(file)
                    || Files.size(file) != wanted.path("bytes").asLong()
                    || !checksum(file).equals(wanted.path("crc32c").asText())) {
                throw new CheckpointException(
                        folder,
                        "is damaged: " + entry.getKey()
                                + (Files.exists(file) ? " is not what was written" : " is missing")
                                + ". Continue from an older one");
            }
        }
    }

    /**
     * In what a run would differ from the one that wrote this.
     *
     * @param other plan of the run
     * @param otherData what describes its data
     * @param otherBatchesPerEpoch steps of its epochs
     * @return one entry for each difference, such as {@code lr: 1.0E-4 -> 2.0E-4}
     */
    public List<String> differences(RunPlan other, Map<String, String> otherData, int otherBatchesPerEpoch) {
        List<String> differences = new ArrayList<>(plan.differences(other));
        TreeSet<String> names = new TreeSet<>(data.keySet());
        names.addAll(otherData.keySet());
        Map<String, String> theirs = new TreeMap<>(otherData);
        for (String name : names) {
            String mine = data.get(name);
            if (mine == null || !mine.equals(theirs.get(name))) {
                differences.add("data, " + name + ": " + mine + " -> " + theirs.get(name));
            }
        }
        if (batchesPerEpoch != otherBatchesPerEpoch) {
            differences.add("steps of an epoch: " + batchesPerEpoch + " -> " + otherBatchesPerEpoch);
        }
        return differences;
    }

    /**
     * The network with weights, optimizer and counters, as its file says it; without listeners.
     *
     * @return the network
     * @throws IOException if it cannot be read
     */
    public ComputationGraph loadNetwork() throws IOException {
        return NetworkZip.load(network(), true);
    }

    /** {@return whether there is a moving average} */
    public boolean hasAverage() {
        return Files.isRegularFile(folder.resolve(AVERAGE));
    }

    /**
     * The moving average of the weights.
     *
     * @param network of this checkpoint
     * @return the average, which follows this network
     * @throws IOException if there is none, or it cannot be read
     */
    public WeightAverage loadAverage(ComputationGraph network) throws IOException {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(folder.resolve(AVERAGE)), BUFFER)) {
            return WeightAverage.load(in, network);
        }
    }
}
