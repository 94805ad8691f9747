package org.npp4j.llamagen.tokenizer;

import java.io.BufferedInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads whatever tokenizer a file holds; its kind is told from the content. Today that is the {@link BlockCodebook}. */
public final class TokenizerFile {
    private TokenizerFile() {}

    /**
     * Reads a tokenizer.
     *
     * @param file the file
     * @return its tokenizer
     * @throws IOException if the file is missing, damaged, or holds no tokenizer of a known kind
     */
    public static ImageTokenizer load(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException("There is no tokenizer file " + file + ". Check the path");
        }
        if (startsAsJson(file)) {
            return BlockCodebook.load(file);
        }
        throw new IOException(
                file + " holds no tokenizer that can be read. Known are: block codebooks (the JSON file of"
                        + " BlockCodebook.save)");
    }

    private static boolean startsAsJson(Path file) throws IOException {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file))) {
            int first = in.read();
            while (first >= 0 && Character.isWhitespace(first)) {
                first = in.read();
            }
            return first == '{';
        }
    }
}
