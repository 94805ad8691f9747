package org.npp4j.llamagen.tokenizer;

import java.net.URISyntaxException;
import java.nio.file.Path;

/** The golden files of VQ tokenizers. */
public final class GoldenVq {
    private GoldenVq() {}

    /** A file in golden/vq. */
    public static Path file(String name) {
        try {
            return Path.of(GoldenVq.class.getResource("/golden/vq/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
