package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeakMemoryTest {
    private static final long GIB = 1L << 30;

    @TempDir
    private Path folder;

    @Test
    void readsTheHighWaterMarkOfLinux() throws Exception {
        Path status = Files.writeString(folder.resolve("status"), "Name:\tjava\nVmHWM:\t 1572864 kB\nVmRSS:\t 12 kB\n");
        try (PeakMemory memory = new PeakMemory(status, () -> 7 * GIB)) {
            assertEquals(1.5, memory.gib());
        }
    }

    @Test
    void elsewhereKeepsTheLargestSample() {
        AtomicLong resident = new AtomicLong(GIB);
        try (PeakMemory memory = new PeakMemory(folder.resolve("missing"), resident::get)) {
            assertEquals(1, memory.gib());
            resident.set(3 * GIB);
            assertEquals(3, memory.gib());
            resident.set(2 * GIB);
            assertEquals(3, memory.gib());
        }
    }

    @Test
    void ofThisProcess() {
        try (PeakMemory memory = new PeakMemory()) {
            assertTrue(memory.gib() > 0.01 && memory.gib() < 64, "GiB: " + memory.gib());
        }
    }
}
