package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.function.Executable;

/** What a refused argument or state is told. */
final class Refusal {
    private Refusal() {}

    static String ofArgument(Executable action) {
        return assertThrows(IllegalArgumentException.class, action).getMessage();
    }

    static String ofState(Executable action) {
        return assertThrows(IllegalStateException.class, action).getMessage();
    }
}
