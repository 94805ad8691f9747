package org.npp4j.llamagen.checkpoint;

/** The kinds of files that {@link TensorFile} opens. */
public enum CheckpointFormat {
    /** What torch.save has written since PyTorch 1.6: a zip file. */
    PYTORCH_ZIP("PyTorch"),
    /** What torch.save wrote before, and still does on request: pickles, then raw data. */
    PYTORCH_LEGACY("PyTorch (legacy form)"),
    /** A JSON header, then raw data. */
    SAFETENSORS("safetensors");

    private final String label;

    CheckpointFormat(String label) {
        this.label = label;
    }

    /** {@return the name of the format, for people} */
    public String label() {
        return label;
    }
}
