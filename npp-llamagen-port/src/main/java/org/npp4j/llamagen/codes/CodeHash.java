package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.ImageFolder;

/** What tells pictures and sets of codes from others, as {@link CodeSetDescription} says. */
final class CodeHash {
    private final Sha256 hash = new Sha256();

    /** Paths and sizes of pictures, as {@link CodeSetDescription.Pictures} says; a size that cannot be told is -1. */
    static String ofPathsAndSizes(ImageFolder pictures) {
        Sha256 hash = new Sha256();
        for (int i = 0; i < pictures.size(); i++) {
            Path file = pictures.file(i);
            long size;
            try {
                size = Files.size(file);
            } catch (IOException e) {
                size = -1;
            }
            String path = pictures.root()
                    .relativize(file)
                    .toString()
                    .replace(file.getFileSystem().getSeparator(), "/");
            hash.add((path + "\0" + size + "\n").getBytes(StandardCharsets.UTF_8));
        }
        return hash.hex();
    }

    /** Adds an image. */
    void add(int[][] codesOfCrops, int label) {
        for (int[] crop : codesOfCrops) {
            hash.add(crop);
        }
        hash.add(label);
    }

    /** The hash of all that was added. */
    String hex() {
        return hash.hex();
    }
}
