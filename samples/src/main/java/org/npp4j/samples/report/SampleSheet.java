package org.npp4j.samples.report;

import java.util.Arrays;

/**
 * A picture of sample images: one row per class, in the order of the report's class names.
 *
 * @param title heading, such as "NPP"
 * @param file name of its PNG file beside the report
 * @param description what it shows, for who cannot see it
 * @param png the PNG file's bytes
 */
public record SampleSheet(String title, String file, String description, byte[] png) {
    @Override
    public boolean equals(Object other) {
        return other instanceof SampleSheet
                && ((SampleSheet) other).title.equals(title)
                && ((SampleSheet) other).file.equals(file)
                && ((SampleSheet) other).description.equals(description)
                && Arrays.equals(((SampleSheet) other).png, png);
    }

    @Override
    public int hashCode() {
        return file.hashCode();
    }

    @Override
    public String toString() {
        return "SampleSheet(" + title + ", " + file + ", " + png.length + " bytes)";
    }
}
