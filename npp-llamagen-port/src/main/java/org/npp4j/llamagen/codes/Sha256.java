package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.npp4j.llamagen.images.ImageFolder;

/** What tells files, pictures and codes from others. */
final class Sha256 {
    private static final int BUFFER = 1 << 20;

    private final MessageDigest digest;

    Sha256() {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every Java has SHA-256", e);
        }
    }

    /** The bytes of a file. */
    static String ofFile(Path file) throws IOException {
        Sha256 hash = new Sha256();
        byte[] buffer = new byte[BUFFER];
        try (InputStream in = Files.newInputStream(file)) {
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                hash.digest.update(buffer, 0, read);
            }
        }
        return hash.hex();
    }

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
            hash.digest.update((path + "\0" + size + "\n").getBytes(StandardCharsets.UTF_8));
        }
        return hash.hex();
    }

    /** Adds an image of a set of codes, as {@link CodeSetDescription} says. */
    void add(int[][] codesOfCrops, int label) {
        ByteBuffer bytes = ByteBuffer.allocate((codesOfCrops.length * codesOfCrops[0].length + 1) * Integer.BYTES);
        for (int[] crop : codesOfCrops) {
            for (int id : crop) {
                bytes.putInt(id);
            }
        }
        digest.update(bytes.putInt(label).flip());
    }

    /** The hash of all that was added. */
    String hex() {
        return HexFormat.of().formatHex(digest.digest());
    }
}
