package org.npp4j.llamagen.parity;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a comparison with a golden file found.
 *
 * @param comparisons every array and number of the golden file, in groups
 */
public record ParityReport(List<Comparison> comparisons) {
    /**
     * Copies the list.
     *
     * @param comparisons every array and number of the golden file
     */
    public ParityReport {
        comparisons = List.copyOf(comparisons);
    }

    /**
     * Comparisons that belong together.
     *
     * @param name such as {@code p=2 gradients}
     * @param comparisons at least one
     */
    public record Group(String name, List<Comparison> comparisons) {
        /** {@return the comparison that is furthest above, or least below, its limit} */
        public Comparison worst() {
            return comparisons.stream()
                    .max(Comparator.comparing(Comparison::passed, Comparator.reverseOrder())
                            .thenComparing(Comparison::difference))
                    .orElseThrow();
        }

        /** {@return whether all of them passed} */
        public boolean passed() {
            return comparisons.stream().allMatch(Comparison::passed);
        }
    }

    /** {@return whether there is something compared and all of it passed} */
    public boolean passed() {
        return !comparisons.isEmpty() && failures().isEmpty();
    }

    /** {@return what did not pass} */
    public List<Comparison> failures() {
        return comparisons.stream().filter(comparison -> !comparison.passed()).toList();
    }

    /** {@return the comparisons by group, in the order in which they were made} */
    public List<Group> groups() {
        Map<String, List<Comparison>> groups = new LinkedHashMap<>();
        for (Comparison comparison : comparisons) {
            groups.computeIfAbsent(comparison.group(), name -> new ArrayList<>())
                    .add(comparison);
        }
        return groups.entrySet().stream()
                .map(entry -> new Group(entry.getKey(), List.copyOf(entry.getValue())))
                .toList();
    }
}
