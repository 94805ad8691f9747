package org.npp4j.llamagen.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.files.NpzFile;

class GptParityTest {
    @ParameterizedTest
    @ValueSource(strings = {"gpt-tiny", "gpt-gqa"})
    void everyArrayOfTheGoldenFiles(String name) throws Exception {
        GoldenGpt golden = new GoldenGpt(name);
        try (NpzFile arrays = NpzFile.open(GoldenGpt.resource(name + ".npz").toPath())) {
            ParityReport report = GptParity.compare(golden.spec(), golden::loadInto, golden.info(), arrays, 1e-4);
            for (ParityReport.Group group : report.groups()) {
                System.out.printf(
                        Locale.ROOT,
                        "%-30s %3d %.2e %s %s%n",
                        group.name(),
                        group.comparisons().size(),
                        group.worst().difference(),
                        group.worst().name(),
                        group.worst().note());
            }
            assertTrue(report.passed(), () -> report.failures().toString());
            assertEquals(arrays.names().size() - 2 + 8, report.comparisons().size());
        }
    }
}
