package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A checkpoint whose tensors are not those of the model: all that are missing, unexpected or of another shape at once.
 *
 * <p>The message has a line for each, up to {@value #SHOWN} of a kind; the counts are always of all.
 */
public final class TensorMismatchException extends IOException {
    /** How many tensors of a kind the message names: all of any real model, not all of a hostile file. */
    public static final int SHOWN = 1000;

    private static final long serialVersionUID = 1L;

    private final List<String> missing;
    private final List<String> unexpected;
    private final List<String> misshaped;

    /**
     * Creates an exception.
     *
     * @param file the checkpoint
     * @param missing tensors that the model needs
     * @param unexpected tensors that it does not have
     * @param misshaped tensors of another shape, with both shapes
     * @param hint what may be the reason and what to do, or an empty string
     */
    TensorMismatchException(
            Path file, List<String> missing, List<String> unexpected, List<String> misshaped, String hint) {
        super(message(file, missing, unexpected, misshaped, hint));
        this.missing = List.copyOf(missing);
        this.unexpected = List.copyOf(unexpected);
        this.misshaped = List.copyOf(misshaped);
    }

    /** {@return names of tensors that the model needs and the checkpoint has not} */
    public List<String> missing() {
        return missing;
    }

    /** {@return names of tensors that the checkpoint has and the model has not} */
    public List<String> unexpected() {
        return unexpected;
    }

    /** {@return names of tensors of another shape, each with the expected and the given one} */
    public List<String> misshaped() {
        return misshaped;
    }

    private static String message(
            Path file, List<String> missing, List<String> unexpected, List<String> misshaped, String hint) {
        List<String> lines = new ArrayList<>();
        lines.add(file + " does not fit the model: " + missing.size() + " missing, " + unexpected.size()
                + " unexpected and " + misshaped.size() + " mis-shaped tensors." + (hint.isEmpty() ? "" : " " + hint));
        list(lines, "missing", missing);
        list(lines, "unexpected", unexpected);
        list(lines, "mis-shaped", misshaped);
        return String.join("\n", lines);
    }

    private static void list(List<String> lines, String kind, List<String> names) {
        names.stream().limit(SHOWN).forEach(name -> lines.add("  " + kind + ": " + name));
        if (names.size() > SHOWN) {
            lines.add("  " + kind + ": .. and " + (names.size() - SHOWN) + " more");
        }
    }
}
