package org.npp4j.llamagen.images;

import java.util.Locale;

/**
 * Which crops of an image are tokenized.
 *
 * @param imageSize S, side of the crops
 * @param centreSize side of the centre crop that they are cut from; S without ten crops
 * @param tenCrop whether there are ten crops ({@link ImageCrops#tenCrops}); otherwise the centre crop and its mirror image
 */
public record CropPlan(int imageSize, int centreSize, boolean tenCrop) {
    /**
     * Checks the sizes.
     *
     * @param imageSize at least 1
     * @param centreSize at least S; S without ten crops
     * @param tenCrop whether there are ten crops
     * @throws IllegalArgumentException if a size is out of range
     */
    public CropPlan {
        if (imageSize < 1) {
            throw new IllegalArgumentException("The image size is " + imageSize + "; it must be at least 1 pixel");
        }
        if (centreSize < imageSize) {
            throw new IllegalArgumentException("Ten crops of " + imageSize + " pixels do not fit into a centre crop of "
                    + centreSize + "; the crop range must be at least 1");
        }
        if (!tenCrop && centreSize != imageSize) {
            throw new IllegalArgumentException("Without ten crops the centre crop is the image, but the sizes are "
                    + centreSize + " and " + imageSize);
        }
    }

    /**
     * The centre crop and its mirror image.
     *
     * @param imageSize S, at least 1
     * @return the plan
     * @throws IllegalArgumentException if S is below 1
     */
    public static CropPlan centreAndMirror(int imageSize) {
        return new CropPlan(imageSize, imageSize, false);
    }

    /**
     * Ten crops of a centre crop of side trunc(S r).
     *
     * @param imageSize S, at least 1
     * @param cropRange r, at least 1; 1.1 or 1.05 in the published recipes
     * @return the plan
     * @throws IllegalArgumentException if a setting is out of range
     */
    public static CropPlan tenCrops(int imageSize, double cropRange) {
        double centre = imageSize * cropRange;
        if (!(cropRange >= 1) || centre >= Integer.MAX_VALUE) {
            throw new IllegalArgumentException(String.format(
                    Locale.ROOT,
                    "The crop range is %s; it must be at least 1 and give a centre crop of less than 2^31 pixels",
                    cropRange));
        }
        return new CropPlan(imageSize, (int) centre, true);
    }

    /** {@return how many crops an image gives: 10 or 2} */
    public int crops() {
        return tenCrop ? 10 : 2;
    }

    /**
     * Cuts the crops of one image.
     *
     * @param image [1, C, H, W] of any size; a smaller one is enlarged
     * @return [{@link #crops()}, C, S, S]
     * @throws IllegalArgumentException if there is not one image
     */
    public PixelImages cut(PixelImages image) {
        PixelImages centre = ImageCrops.centreCrop(image, centreSize);
        return tenCrop ? ImageCrops.tenCrops(centre, imageSize) : ImageCrops.withMirror(centre);
    }
}
