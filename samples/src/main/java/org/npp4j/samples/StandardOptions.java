package org.npp4j.samples;

import picocli.CommandLine.Option;

/** Options that every command has. */
final class StandardOptions {
    @Option(
            names = {"-v", "--verbose"},
            description = "Show the stack trace of a failure.")
    private boolean verbose;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help and exit.")
    private boolean help;

    @Option(
            names = {"-V", "--version"},
            versionHelp = true,
            description = "Show the versions of NPP, Deeplearning4j and Java and exit.")
    private boolean version;
}
