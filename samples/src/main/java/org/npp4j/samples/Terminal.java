package org.npp4j.samples;

/** Whether someone watches, and what may be shown. */
final class Terminal {
    /** Set by the launcher, which can ask whether standard error is a terminal; the JVM cannot. */
    static final String PROPERTY = "npp.terminal";

    /** Set by the launcher: whether standard output is a terminal. */
    static final String WATCHED = "npp.watched";

    private Terminal() {}

    /** {@return whether standard error is a terminal that can redraw a line} */
    static boolean isInteractive() {
        return isInteractive(
                System.getProperty(PROPERTY), System.console() != null, System.getenv("TERM"), System.getenv("CI"));
    }

    static boolean isInteractive(String property, boolean console, String term, String ci) {
        boolean terminal = property == null ? console : Boolean.parseBoolean(property);
        return terminal && !"dumb".equals(term) && (ci == null || ci.isEmpty());
    }

    /** {@return whether someone at a terminal reads standard output, who can end the program by Ctrl-C} */
    static boolean isWatched() {
        return Boolean.getBoolean(WATCHED) && isInteractive();
    }

    /** {@return a text from outside that cannot move the cursor, nor hide what is there} */
    static String printable(String text) {
        return text.replaceAll("[\\p{Cc}\\p{Cf}]", "?");
    }
}
