package org.npp4j.llamagen.files;

import java.io.File;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** How large an entry of a zip file can be at the most, whatever its headers say. */
public final class ZipSizes {
    /** Bytes that one of deflate's can stand for. */
    private static final long MAX_COMPRESSION = 1032;

    private ZipSizes() {}

    /**
     * The size of an entry, but no more than the file's bytes can unfold to. To be asked before memory is taken.
     *
     * @param zip the file
     * @param entry one of its entries
     * @return bytes
     */
    public static long most(ZipFile zip, ZipEntry entry) {
        long packed = Math.min(entry.getCompressedSize(), new File(zip.getName()).length());
        return Math.min(entry.getSize(), entry.getMethod() == ZipEntry.STORED ? packed : MAX_COMPRESSION * packed);
    }
}
