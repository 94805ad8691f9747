package org.npp4j.samples.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What every page must be. */
final class PageMarkup {
    private static final Set<String> VOID_ELEMENTS = Set.of("meta", "link", "img");

    private PageMarkup() {}

    static String withoutScripts(String page) {
        return page.replaceAll("(?s)(<(style|script)[^>]*>).*?(</\\2>)", "$1$3");
    }

    static void assertClosed(String markup) {
        Deque<String> open = new ArrayDeque<>();
        Matcher tags = Pattern.compile("<(/?)([a-z][a-z0-9]*)((?:\\s+[a-z-]+(?:=\"[^\"<]*\")?)*)\\s*>")
                .matcher(markup);
        int count = 0;
        while (tags.find()) {
            count++;
            if (tags.group(1).isEmpty()) {
                if (!VOID_ELEMENTS.contains(tags.group(2))) {
                    open.push(tags.group(2));
                }
            } else {
                assertEquals(open.pop(), tags.group(2), "at " + tags.start());
            }
        }
        assertTrue(open.isEmpty(), "not closed: " + open);
        // Whatever the pattern does not know would be left over.
        assertEquals(count + 1, markup.chars().filter(c -> c == '<').count(), "the doctype and the tags found");
    }
}
