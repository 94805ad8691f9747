package org.npp4j.samples;

/** A failure that its message explains in full: what is wrong and how to fix it. */
class AppException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    AppException(String message) {
        super(message);
    }

    AppException(String message, Throwable cause) {
        super(message, cause);
    }
}
