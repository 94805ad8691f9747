package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.nd4j.shade.jackson.annotation.JsonPropertyOrder;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.DeserializationFeature;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.SerializationFeature;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.CropPlan;

/**
 * How a set of codes was made: {@value #FILE} beside them. The published layout has none, and its readers ignore it.
 *
 * @param format {@value #FORMAT}
 * @param name of the set, such as {@code imagenet256}
 * @param packed whether the codes are in one file
 * @param complete whether every picture is in it or skipped
 * @param images stored; 0 until it is complete
 * @param crops how the crops were cut
 * @param gridHeight rows of the token grid
 * @param gridWidth columns of the token grid
 * @param vocabulary V of the tokenizer
 * @param tokenizer the tokenizer
 * @param data the pictures
 * @param classNames names of the classes, in their order
 * @param classImages stored images of each class; empty until it is complete
 * @param codesSha256 SHA-256 over the images in order: all codes, crop by crop, then the class, each an int32 in big
 *     endian; null until it is complete
 * @param skipped pictures that are not among the images
 */
@JsonPropertyOrder({
    "format",
    "name",
    "packed",
    "complete",
    "images",
    "crops",
    "grid_height",
    "grid_width",
    "vocabulary",
    "tokenizer",
    "data",
    "codes_sha256",
    "skipped",
    "class_names",
    "class_images"
})
public record CodeSetDescription(
        @JsonProperty(value = "format", required = true) String format,
        @JsonProperty(value = "name", required = true) String name,
        @JsonProperty(value = "packed", required = true) boolean packed,
        @JsonProperty(value = "complete", required = true) boolean complete,
        @JsonProperty(value = "images", required = true) int images,
        @JsonProperty(value = "crops", required = true) Crops crops,
        @JsonProperty(value = "grid_height", required = true) int gridHeight,
        @JsonProperty(value = "grid_width", required = true) int gridWidth,
        @JsonProperty(value = "vocabulary", required = true) int vocabulary,
        @JsonProperty(value = "tokenizer", required = true) Tokenizer tokenizer,
        @JsonProperty(value = "data", required = true) Pictures data,
        @JsonProperty(value = "class_names", required = true) List<String> classNames,
        @JsonProperty(value = "class_images", required = true) List<Integer> classImages,
        @JsonProperty(value = "codes_sha256") String codesSha256,
        @JsonProperty(value = "skipped", required = true) List<Skipped> skipped) {
    /** Name of the file. */
    public static final String FILE = "dataset.json";

    /** What tells the file from others of its name. */
    public static final String FORMAT = "npp-codes-1";

    private static final ObjectMapper JSON = new ObjectMapper()
            .enable(SerializationFeature.INDENT_OUTPUT)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

    /**
     * How crops were cut, as in {@link CropPlan}.
     *
     * @param imageSize side of the crops in pixels
     * @param centreSize side of the centre crop that they were cut from
     * @param tenCrop whether there are ten, else the centre crop and its mirror image
     */
    public record Crops(
            @JsonProperty(value = "image_size", required = true) int imageSize,
            @JsonProperty(value = "centre_size", required = true) int centreSize,
            @JsonProperty(value = "ten_crop", required = true) boolean tenCrop) {
        static Crops of(CropPlan plan) {
            return new Crops(plan.imageSize(), plan.centreSize(), plan.tenCrop());
        }

        /** {@return the same as a plan} */
        public CropPlan plan() {
            return new CropPlan(imageSize, centreSize, tenCrop);
        }
    }

    /**
     * A tokenizer's file.
     *
     * @param file its name when the codes were made
     * @param sha256 SHA-256 of its bytes
     */
    public record Tokenizer(
            @JsonProperty(value = "file", required = true) String file,
            @JsonProperty(value = "sha256", required = true) String sha256) {}

    /**
     * A folder of pictures.
     *
     * @param folder where it was when the codes were made
     * @param pictures how many
     * @param classPictures how many in each class
     * @param sha256 SHA-256 over the pictures in order: for each a line of the path below the folder with slashes, a zero
     *     byte, and the size in bytes as a decimal number. Their content is not read for it
     */
    public record Pictures(
            @JsonProperty(value = "folder", required = true) String folder,
            @JsonProperty(value = "pictures", required = true) int pictures,
            @JsonProperty(value = "class_pictures", required = true) List<Integer> classPictures,
            @JsonProperty(value = "paths_and_sizes_sha256", required = true) String sha256) {}

    /**
     * A picture that could not be used.
     *
     * @param picture its number among all pictures, from 0
     * @param file its path
     * @param reason what is wrong with it
     */
    public record Skipped(
            @JsonProperty(value = "picture", required = true) int picture,
            @JsonProperty(value = "file", required = true) String file,
            @JsonProperty(value = "reason", required = true) String reason) {}

    /**
     * The grid of the tokens.
     *
     * @return the grid
     */
    public TokenGrid grid() {
        return TokenGrid.of(gridHeight, gridWidth);
    }

    /**
     * What decides the codes and is not the same.
     *
     * @param other of codes that are to be made in the same place
     * @return a line for each difference: "NAME: MINE, here OTHER"; empty if both make the same codes
     */
    public List<String> differencesTo(CodeSetDescription other) {
        List<String> differences = new ArrayList<>();
        compare("name", name, other.name, differences);
        compare("packed", packed, other.packed, differences);
        compare("image size", crops.imageSize, other.crops.imageSize, differences);
        compare("ten crops", crops.tenCrop, other.crops.tenCrop, differences);
        compare("centre crop", crops.centreSize, other.crops.centreSize, differences);
        compare("token grid", gridHeight + " x " + gridWidth, other.gridHeight + " x " + other.gridWidth, differences);
        compare("codebook size", vocabulary, other.vocabulary, differences);
        compare("SHA-256 of the tokenizer", tokenizer.sha256, other.tokenizer.sha256, differences);
        compare("classes", classNames.size(), other.classNames.size(), differences);
        compare("pictures", data.pictures, other.data.pictures, differences);
        compare("SHA-256 of the pictures' paths and sizes", data.sha256, other.data.sha256, differences);
        return differences;
    }

    private static void compare(String what, Object mine, Object theirs, List<String> differences) {
        if (!Objects.equals(mine, theirs)) {
            differences.add(what + ": " + mine + ", here " + theirs);
        }
    }

    /**
     * Reads the description of a folder.
     *
     * @param folder where codes are
     * @return it, or nothing if there is none
     * @throws FileSystemException if it is damaged; it names the file
     * @throws IOException if it cannot be read
     */
    public static Optional<CodeSetDescription> find(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try {
            JsonNode tree = JSON.readTree(Files.readAllBytes(file));
            if (!FORMAT.equals(tree.path("format").asText())) {
                return Optional.empty();
            }
            return Optional.of(JSON.treeToValue(tree, CodeSetDescription.class));
        } catch (JsonProcessingException e) {
            throw new FileSystemException(
                    file.toString(),
                    null,
                    "it describes no set of codes (" + e.getOriginalMessage() + "). Get it again, or remove it");
        }
    }

    /**
     * Writes the description.
     *
     * @param folder where the codes are
     * @throws FileSystemException if it cannot be written; no part of it is left behind
     */
    void write(Path folder) throws FileSystemException {
        AtomicFile.write(folder.resolve(FILE), out -> out.write(JSON.writeValueAsBytes(this)));
    }

    /** {@return one line of JSON} */
    static byte[] line(Skipped skipped) {
        try {
            return (JSON.writer().without(SerializationFeature.INDENT_OUTPUT).writeValueAsString(skipped) + "\n")
                    .getBytes(StandardCharsets.UTF_8);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("A skipped picture must always be writable as JSON", e);
        }
    }

    /** Reads what {@link #line} wrote. */
    static Skipped parseSkipped(String line) throws JsonProcessingException {
        return JSON.readValue(line, Skipped.class);
    }
}
