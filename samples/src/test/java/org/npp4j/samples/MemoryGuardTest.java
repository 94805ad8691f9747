package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryGuardTest {
    private static final long GIB = 1L << 30;

    private long resident;
    private int collections;
    private final List<String> stops = new ArrayList<>();
    private final MemoryGuard guard = new MemoryGuard(2 * GIB, () -> resident, () -> collections++, stops::add);

    @Test
    void explainsWhenCollectingDoesNotHelp() {
        resident = 2 * GIB;
        assertTrue(guard.check());
        assertEquals(0, collections);
        resident = 5 * GIB / 2;
        for (int i = 1; i <= 4; i++) {
            assertTrue(guard.check());
            assertEquals(i, collections);
        }
        assertTrue(stops.isEmpty());
        assertFalse(guard.check());
        assertEquals(
                List.of(
                        "Out of memory: the program takes 2.5 GiB, and its limit is 2.0 GiB, by default 90 % of what the"
                                + " machine or container has. Use a smaller batch or model, or a machine with more memory."
                                + " Another limit: NPP_JAVA_OPTS=-Dnpp.memory=12g ./npp .."),
                stops);
    }

    @Test
    void goesOnWhenCollectingHelps() {
        for (int i = 0; i < 10; i++) {
            resident = 3 * GIB;
            assertTrue(guard.check());
            assertTrue(guard.check());
            resident = GIB;
            assertTrue(guard.check());
        }
        assertEquals(20, collections);
        assertTrue(stops.isEmpty());
    }

    @Test
    void limits() {
        assertEquals(24 * GIB / 100 * 90, MemoryGuard.limitBytes(null, 24 * GIB));
        assertEquals(0, MemoryGuard.limitBytes(null, 0));
        assertEquals(12 * GIB, MemoryGuard.limitBytes("12g", 24 * GIB));
        assertEquals(0, MemoryGuard.limitBytes("0", 24 * GIB));
        String message = assertThrows(IllegalArgumentException.class, () -> MemoryGuard.limitBytes("much", GIB))
                .getMessage();
        assertTrue(message.contains("such as 900m or 12g, or 0 for no limit, but is much"), message);
        assertTrue(MemoryGuard.machineBytes() > GIB);
    }

    @Test
    void readsTheResidentMemory(@TempDir Path folder) throws Exception {
        Path status = folder.resolve("status");
        Files.writeString(status, "VmRSS:\t 300 kB\nRssAnon:\t 200 kB\nRssFile:\t 100 kB\n");
        assertEquals(200 * 1024, MemoryGuard.residentBytes(status));
        assertTrue(MemoryGuard.residentBytes(folder.resolve("none")) > 1 << 20);
    }
}
