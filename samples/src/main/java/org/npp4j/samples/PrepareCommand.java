package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.ImageCrops;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.PixelImages;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp prepare}: what a tokenizer sees of a picture. */
@Command(
        name = "prepare",
        description = "Writes what a tokenizer sees of a picture: uint8 [crop, crop, 3], or with --ten-crop uint8"
                + " [10, ten-crop, ten-crop, 3]. Every pixel is the published pipeline's (Pillow).",
        footer = {
            "",
            "The short side is resized to the crop, halving it first while it is twice as long or longer; a smaller"
                    + " picture is enlarged. EXIF orientation and alpha are ignored. The published sizes for images of 256"
                    + " pixels: --crop 281 --ten-crop 256 (crop range 1.1) and --crop 268 --ten-crop 256 (1.05)."
        },
        sortOptions = false)
final class PrepareCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "IMAGE", description = "A PNG or JPEG file.")
    private Path image;

    @Option(names = "--crop", required = true, paramLabel = "SIZE", description = "Side of the centre crop in pixels.")
    private int crop;

    @Option(
            names = "--ten-crop",
            paramLabel = "SIZE",
            description = "Side of ten crops of the centre crop: corners and centre, then these of the mirror image.")
    private Integer tenCrop;

    @Option(names = "--out", required = true, paramLabel = "FILE", description = "The .npy file to write.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    @Override
    public Integer call() throws IOException {
        requireOptions();
        PixelImages picture = ImageFile.read(image);
        PixelImages crops = ImageCrops.centreCrop(picture, crop);
        int[] shape = {crop, crop, 3};
        if (tenCrop != null) {
            crops = ImageCrops.tenCrops(crops, tenCrop);
            shape = new int[] {10, tenCrop, tenCrop, 3};
        }
        NpyFile.writeUint8(out, crops.toInterleavedBytes(), shape);
        spec.commandLine()
                .getOut()
                .println(image + " (" + picture.width() + " x " + picture.height() + ") -> " + out + ": uint8 "
                        + Arrays.toString(shape));
        spec.commandLine().getOut().flush();
        return 0;
    }

    private void requireOptions() {
        if (crop < 1) {
            throw usage("--crop is " + crop + "; it must be at least 1 pixel");
        }
        if (tenCrop != null && (tenCrop < 1 || tenCrop > crop)) {
            throw usage("--ten-crop is " + tenCrop + "; ten crops must be of at least 1 pixel and fit into the centre"
                    + " crop, --crop " + crop);
        }
        if (!out.toString().endsWith(".npy")) {
            throw usage("--out is " + out + "; its name must end in .npy");
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
