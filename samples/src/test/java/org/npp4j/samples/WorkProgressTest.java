package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class WorkProgressTest {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private final PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    private long seconds;

    @Test
    void withoutATerminalALineEveryTenSeconds() {
        try (WorkProgress progress = progress(false)) {
            for (int i = 1; i <= 25; i++) {
                seconds = i;
                progress.update(i / 25.0);
            }
        }
        assertEquals(
                List.of("looking 40 %, 0:15 left", "looking 80 %, 0:05 left"),
                text().lines().toList());
    }

    @Test
    void onATerminalABar() {
        try (WorkProgress progress = progress(true)) {
            seconds = 4;
            progress.update(0.25);
        }
        assertTrue(text().contains("looking") && text().contains("25%"), text());
    }

    private WorkProgress progress(boolean interactive) {
        return new WorkProgress("looking", out, interactive, () -> seconds * 1_000_000_000L);
    }

    private String text() {
        return bytes.toString(StandardCharsets.UTF_8);
    }
}
