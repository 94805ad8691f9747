package org.npp4j.samples;

/** Wrong options, in words; a command makes the error of its usage of it. */
final class UsageException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    UsageException(IllegalArgumentException cause) {
        super(cause.getMessage(), cause);
    }

    UsageException(String message) {
        super(message);
    }
}
