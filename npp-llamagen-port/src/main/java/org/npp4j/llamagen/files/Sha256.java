package org.npp4j.llamagen.files;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The fingerprint of files, or of bytes that are added one after the other. */
public final class Sha256 {
    private static final int BUFFER = 1 << 16;

    private final MessageDigest digest;

    /** A fingerprint of nothing yet. */
    public Sha256() {
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("Every Java platform has SHA-256, this one does not", e);
        }
    }

    /**
     * The SHA-256 of a file, or of several one after the other.
     *
     * @param files the files
     * @return 64 hexadecimal digits
     * @throws IOException if one cannot be read
     */
    public static String of(Path... files) throws IOException {
        Sha256 hash = new Sha256();
        byte[] buffer = new byte[BUFFER];
        for (Path file : files) {
            try (InputStream in = Files.newInputStream(file)) {
                for (int count = in.read(buffer); count > 0; count = in.read(buffer)) {
                    hash.digest.update(buffer, 0, count);
                }
            }
        }
        return hash.hex();
    }

    /**
     * Adds bytes.
     *
     * @param bytes all of them
     * @return this
     */
    public Sha256 add(byte[] bytes) {
        digest.update(bytes);
        return this;
    }

    /**
     * Adds numbers, each in big endian.
     *
     * @param numbers all of them
     * @return this
     */
    public Sha256 add(int... numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(numbers.length, Integer.BYTES));
        bytes.asIntBuffer().put(numbers);
        return add(bytes.array());
    }

    /**
     * The fingerprint of all that was added; afterwards it is one of nothing again.
     *
     * @return 64 hexadecimal digits
     */
    public String hex() {
        return HexFormat.of().formatHex(digest.digest());
    }
}
