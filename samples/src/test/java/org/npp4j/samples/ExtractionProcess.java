package org.npp4j.samples;

import java.io.PrintWriter;

/** An extraction in a process of its own, which a test kills. */
final class ExtractionProcess {
    private ExtractionProcess() {}

    public static void main(String[] args) {
        System.exit(CodeCommandsTest.run(new PrintWriter(System.out, true), new PrintWriter(System.err, true), args));
    }
}
