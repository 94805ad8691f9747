package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.layers.TokenGrid;

class TokenizerFileTest {
    @TempDir
    private Path folder;

    @Test
    void loadsABlockCodebook() throws IOException {
        BlockCodebook codebook = new BlockCodebook(TokenGrid.of(2, 2), 1, 1, 2, 2, 0, new byte[] {1, 2, 3});
        Path file = folder.resolve("any.name");
        codebook.save(file);
        assertEquals(codebook, TokenizerFile.load(file));
    }

    @Test
    void namesWhatItCannotLoad() throws IOException {
        Path none = folder.resolve("none");
        assertEquals("There is no tokenizer file " + none + ". Check the path", message(none));
        Path zip = Files.write(folder.resolve("vq.pt"), new byte[] {'P', 'K', 3, 4});
        assertEquals(
                zip + " holds no tokenizer that can be read. Known are: block codebooks (the JSON file of"
                        + " BlockCodebook.save)",
                message(zip));
        Path json = Files.writeString(folder.resolve("other.json"), "{\"a\": 1}");
        assertTrue(message(json).contains("does not hold a whole block codebook"), message(json));
        Path empty = Files.createFile(folder.resolve("empty"));
        assertTrue(message(empty).contains("holds no tokenizer"), message(empty));
    }

    private static String message(Path file) {
        return assertThrows(IOException.class, () -> TokenizerFile.load(file)).getMessage();
    }
}
