package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.npp4j.llamagen.codes.CodeSetDescription.Crops;
import org.npp4j.llamagen.codes.CodeSetDescription.Pictures;
import org.npp4j.llamagen.codes.CodeSetDescription.Tokenizer;

/** Sets of codes that tell image, crop and position. */
final class MadeUpCodes {
    static final String NAME = "imagenet8";

    private MadeUpCodes() {}

    /** The code at a position. */
    static int code(int image, int crop, int position) {
        return (image * 10 + crop) * 4 + position;
    }

    static int[][] codes(int image, int crops, int tokens) {
        int[][] codes = new int[crops][tokens];
        for (int c = 0; c < crops; c++) {
            for (int n = 0; n < tokens; n++) {
                codes[c][n] = code(image, c, n);
            }
        }
        return codes;
    }

    static int label(int image) {
        return image % 3;
    }

    /** Images of 4 tokens. */
    static Path write(Path folder, boolean packed, int images, int crops, int vocabulary) throws IOException {
        java.nio.file.Files.createDirectories(folder);
        try (CodeWriter writer = packed
                ? PackedCodes.Writer.open(folder.resolve(NAME + PackedCodes.ENDING), crops, 4, vocabulary)
                : CodeFiles.Writer.open(folder, NAME)) {
            for (int i = 0; i < images; i++) {
                writer.add(codes(i, crops, 4), label(i));
            }
        }
        return folder;
    }

    static CodeSetDescription description(boolean packed, boolean complete, int images) {
        return new CodeSetDescription(
                CodeSetDescription.FORMAT,
                NAME,
                packed,
                complete,
                images,
                new Crops(8, 8, false),
                1,
                4,
                1000,
                new Tokenizer("codebook.json", "00"),
                new Pictures("photos", 7, List.of(3, 4), "11"),
                List.of("cat", "dog"),
                List.of(),
                null,
                List.of());
    }
}
