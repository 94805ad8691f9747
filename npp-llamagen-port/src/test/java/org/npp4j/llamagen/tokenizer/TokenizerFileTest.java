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
        Path file = folder.resolve("any.name");
        BlockCodebook codebook = codebook(file);
        assertEquals(codebook, TokenizerFile.load(file));
        assertEquals(codebook, TokenizerFile.load(file, null, TokenGrid.of(4, 4)));
        String message = assertThrows(
                        IllegalArgumentException.class, () -> TokenizerFile.load(file, VqConfig.VQ_8, null))
                .getMessage();
        assertTrue(message.contains("is a block codebook, which describes itself"), message);
    }

    @Test
    void loadsAVqTokenizer() throws IOException {
        Path file = GoldenVq.file("vq8-tiny.pt");
        assertEquals(TokenGrid.of(64, 64), TokenizerFile.load(file).grid());
        Path safetensors = folder.resolve("vq.safetensors");
        VqTokenizer.load(file, null, 32, 32).save(safetensors);
        ImageTokenizer tokenizer = TokenizerFile.load(safetensors, null, TokenGrid.of(3, 5));
        assertEquals(TokenGrid.of(3, 5), tokenizer.grid());
        assertEquals(20, tokenizer.decode(new int[][] {new int[15]}).width());
        assertEquals(128, tokenizer.vocabulary());
    }

    @Test
    void namesWhatItCannotLoad() throws IOException {
        Path none = folder.resolve("none");
        assertEquals("There is no tokenizer file " + none + ". Check the path", message(none));
        Path json = Files.writeString(folder.resolve("other.json"), "{\"a\": 1}");
        assertTrue(message(json).contains("does not hold a whole block codebook"), message(json));
        Path empty = Files.createFile(folder.resolve("empty"));
        assertTrue(message(empty).contains("holds no tokenizer"), message(empty));
        Path text = Files.writeString(folder.resolve("text"), "hello");
        assertTrue(message(text).contains("is no file of PyTorch or safetensors"), message(text));
    }

    private static BlockCodebook codebook(Path file) throws IOException {
        BlockCodebook codebook = new BlockCodebook(TokenGrid.of(2, 2), 1, 1, 2, 2, 0, new byte[] {1, 2, 3});
        codebook.save(file);
        return codebook;
    }

    private static String message(Path file) {
        return assertThrows(IOException.class, () -> TokenizerFile.load(file)).getMessage();
    }
}
