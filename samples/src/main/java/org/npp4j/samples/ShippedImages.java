package org.npp4j.samples;

import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.Map;
import org.npp4j.llamagen.images.LabelledImages;

/** The pictures of clothes that come along with the apps. */
final class ShippedImages {
    private ShippedImages() {}

    /**
     * Reads them.
     *
     * @param split training or test
     * @return the images
     * @throws IOException if they cannot be read
     */
    static LabelledImages load(LabelledImages.Split split) throws IOException {
        URI folder;
        try {
            folder = ShippedImages.class.getResource("fashion-mnist").toURI();
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
        if ("jar".equals(folder.getScheme())) {
            try (FileSystem jar = FileSystems.newFileSystem(folder, Map.of())) {
                return LabelledImages.load(jar.provider().getPath(folder), split);
            }
        }
        return LabelledImages.load(Path.of(folder), split);
    }
}
