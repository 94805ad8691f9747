package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class TrainingProgressTest {
    private static final List<TrainingProgress.Stage> STAGES =
            List.of(new TrainingProgress.Stage(2, 1000, 16), new TrainingProgress.Stage(1, 1000, 64));

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private final PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    private long seconds;

    @Test
    void withoutATerminalALineEveryTenSeconds() {
        try (TrainingProgress progress = progress(false)) {
            for (int i = 1; i <= 40; i++) {
                seconds = i;
                progress.update(i * 50L, 5 - i / 10.0);
            }
        }
        List<String> lines = lines();
        assertEquals(4, lines.size(), lines.toString());
        assertEquals("NPP  25% 500/2000 images, loss 4.000, 50 images/s, stage 1/2 p=2, 1:30 left", lines.get(0));
        assertEquals("NPP  75% 1500/2000 images, loss 2.000, 50 images/s, stage 2/2 p=1, 0:20 left", lines.get(2));
        assertEquals("NPP 100% 2000/2000 images, loss 1.000, 50 images/s, stage 2/2 p=1, 0:00 left", lines.get(3));
        assertFalse(bytes.toString(StandardCharsets.UTF_8).contains("\r["));
    }

    @Test
    void aShortRunStillLeavesALine() {
        try (TrainingProgress progress = progress(false)) {
            seconds = 1;
            progress.update(100, Double.NaN);
        }
        assertEquals(1, lines().size());
        assertTrue(lines().get(0).contains("loss NaN"), lines().get(0));
    }

    @Test
    void closedBeforeItBegan() {
        progress(false).close();
        assertEquals(1, lines().size());
        assertTrue(lines().get(0).endsWith("? left"), lines().get(0));
    }

    /** Speed and time left are those of this process; the stage's own end is shown, too. */
    @Test
    void aRunThatGoesOn() {
        try (TrainingProgress progress =
                new TrainingProgress("GPT", "loss", STAGES, 500, out, false, () -> seconds * 1_000_000_000L)) {
            seconds = 10;
            progress.update(750, 2, "lr 1e-4");
            seconds = 20;
            progress.update(1250, 1.5, "lr 1e-4");
        }
        assertEquals(
                List.of(
                        "GPT  37% 750/2000 images, loss 2.000, lr 1e-4, 25 images/s, stage 1/2 p=2 (0:10 left), 2:50 left",
                        "GPT  62% 1250/2000 images, loss 1.500, lr 1e-4, 38 images/s, stage 2/2 p=1, 0:40 left"),
                lines());
    }

    @Test
    void onATerminalABar() {
        try (TrainingProgress progress = progress(true)) {
            seconds = 4;
            progress.update(2000, 1.5);
        }
        String text = bytes.toString(StandardCharsets.UTF_8);
        assertTrue(text.contains("NPP"), text);
        assertTrue(text.contains("100%"), text);
    }

    @Test
    void needsAStage() {
        assertThrows(
                IllegalArgumentException.class, () -> new TrainingProgress("NPP", List.of(), out, false, () -> 0L));
    }

    @Test
    void whatATerminalIs() {
        assertTrue(Terminal.isInteractive("true", false, "xterm", null));
        assertFalse(Terminal.isInteractive("false", true, "xterm", null));
        assertTrue(Terminal.isInteractive(null, true, null, null));
        assertFalse(Terminal.isInteractive(null, false, "xterm", null));
        assertFalse(Terminal.isInteractive("true", true, "dumb", null));
        assertFalse(Terminal.isInteractive("true", true, "xterm", "true"));
    }

    private TrainingProgress progress(boolean interactive) {
        return new TrainingProgress("NPP", STAGES, out, interactive, () -> seconds * 1_000_000_000L);
    }

    private List<String> lines() {
        return bytes.toString(StandardCharsets.UTF_8).lines().toList();
    }
}
