package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class SamplingProgressTest {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private final PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    private long seconds;

    @Test
    void withoutATerminalALineEveryTenSeconds() {
        try (SamplingProgress progress = progress(false)) {
            for (int i = 1; i <= 40; i++) {
                seconds = i;
                progress.update(i * 16L);
            }
            assertEquals(16, progress.tokensPerSecond());
            assertEquals(40, progress.seconds());
        }
        assertEquals(
                List.of(
                        "sample 4/12 images, 16.0 tokens/s, 0:30 left",
                        "sample 7/12 images, 16.0 tokens/s, 0:20 left",
                        "sample 9/12 images, 16.0 tokens/s, 0:10 left",
                        "sample 12/12 images, 16.0 tokens/s, 0:00 left"),
                text().lines().toList());
    }

    @Test
    void onATerminalABar() {
        try (SamplingProgress progress = progress(true)) {
            seconds = 4;
            progress.update(64);
        }
        assertTrue(text().contains("3/12 images, 16.0 tokens/s"), text());
        assertTrue(text().contains("64/640"), text());
    }

    /** Ten images of 64 tokens behind two that are there already. */
    private SamplingProgress progress(boolean interactive) {
        return new SamplingProgress(2, 12, 64, out, interactive, () -> seconds * 1_000_000_000L);
    }

    private String text() {
        return bytes.toString(StandardCharsets.UTF_8);
    }
}
