package org.npp4j.samples;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/**
 * Options of a command from files and the command line together: what comes later wins.
 *
 * @param exclusive rows of sets of options: who gives one of a set on the command line does not mean those of the row's other
 *     sets in a file
 */
record OptionFiles(List<List<Set<String>>> exclusive) {
    /**
     * The command that files and then the command line describe.
     *
     * @param spec of the command that was called
     * @param files in order
     * @param fresh makes a command of the same kind, with nothing set
     * @return the command
     */
    <C> C merge(CommandSpec spec, List<ConfigFile> files, Supplier<C> fresh) {
        Set<String> given = new LinkedHashSet<>();
        spec.commandLine()
                .getParseResult()
                .matchedOptions()
                .forEach(option -> Collections.addAll(given, option.names()));
        List<String> arguments = new ArrayList<>();
        for (ConfigFile file : files) {
            List<String> ofFile = new ArrayList<>();
            file.arguments().forEach((name, argument) -> {
                if (!isReplaced(name, given)) {
                    ofFile.add(argument);
                }
            });
            try {
                parse(spec, ofFile, fresh.get());
            } catch (ParameterException e) {
                throw new AppException(file.file() + ": " + e.getMessage(), e);
            }
            arguments.addAll(ofFile);
        }
        ParseResult parsed = spec.commandLine().getParseResult();
        List<String> all = parsed.originalArgs();
        arguments.addAll(all.subList(all.indexOf(spec.name()) + 1, all.size()));
        return parse(spec, arguments, fresh.get());
    }

    private boolean isReplaced(String name, Set<String> given) {
        for (List<Set<String>> row : exclusive) {
            for (Set<String> one : row) {
                boolean anotherIsGiven = row.stream()
                        .anyMatch(other -> other != one && other.stream().anyMatch(given::contains));
                if (one.contains(name) && anotherIsGiven && one.stream().noneMatch(given::contains)) {
                    return true;
                }
            }
        }
        return false;
    }

    private static <C> C parse(CommandSpec spec, List<String> arguments, C command) {
        new CommandLine(command)
                .setOverwrittenOptionsAllowed(true)
                .setOut(spec.commandLine().getOut())
                .setErr(spec.commandLine().getErr())
                .parseArgs(arguments.toArray(String[]::new));
        return command;
    }

    /**
     * Refuses options of two sets of a row.
     *
     * @param spec of a command that was parsed
     * @throws UsageException if there are such
     */
    void requireExclusive(CommandSpec spec) {
        Set<String> given = new LinkedHashSet<>();
        spec.commandLine().getParseResult().matchedOptions().forEach(option -> given.add(option.longestName()));
        for (List<Set<String>> row : exclusive) {
            List<String> found = new ArrayList<>();
            for (Set<String> one : row) {
                one.stream().filter(given::contains).sorted().findFirst().ifPresent(found::add);
            }
            if (found.size() > 1) {
                throw new UsageException(String.join(" and ", found) + " exclude each other");
            }
        }
    }
}
