package org.npp4j.samples.reproduce;

import java.util.Locale;
import java.util.Optional;
import org.npp4j.llamagen.GptSize;

/**
 * A published result of Next Patch Prediction on ImageNet at 256 x 256 pixels.
 *
 * <p>Source: Pang et al., "Next Patch Prediction for Autoregressive Visual Generation" (arXiv 2412.15321); the figures of
 * plain next-token training are those of LlamaGen (arXiv 2406.06525) at 256 pixels.
 */
public enum PublishedResult {
    /** GPT-B, the only one whose training command is published. */
    B(GptSize.GPT_B, 4.47, 2.0, 5.46, "c2i_B_256.pt"),
    /** GPT-L. */
    L(GptSize.GPT_L, 2.76, 1.75, 3.80, "c2i_L_256.pt"),
    /** GPT-XL. */
    XL(GptSize.GPT_XL, 2.65, 1.70, 3.39, null),
    /** GPT-XXL. */
    XXL(GptSize.GPT_XXL, 2.55, 1.65, 3.1, null);

    /** Samples of a published score. */
    public static final int SAMPLES = 50_000;

    /** Training images of ImageNet. */
    public static final int IMAGES = 1_281_167;

    /** Classes of ImageNet. */
    public static final int CLASSES = 1000;

    /** Side of the images in pixels. */
    public static final int SIDE = 256;

    /** Crops of an image whose codes are stored. */
    public static final int CROPS = 10;

    private final GptSize size;
    private final double fid;
    private final double guidance;
    private final double nextTokenFid;
    private final String nextTokenFile;

    PublishedResult(GptSize size, double fid, double guidance, double nextTokenFid, String nextTokenFile) {
        this.size = size;
        this.fid = fid;
        this.guidance = guidance;
        this.nextTokenFid = nextTokenFid;
        this.nextTokenFile = nextTokenFile;
    }

    /**
     * A result by the name of its size.
     *
     * @param name b, l, xl or xxl; case does not matter, and {@code GPT-} may stand in front
     * @return the result
     * @throws IllegalArgumentException if there is none
     */
    public static PublishedResult named(String name) {
        String letters = name.strip().toUpperCase(Locale.ROOT).replaceFirst("^GPT-", "");
        for (PublishedResult result : values()) {
            if (result.name().equals(letters)) {
                return result;
            }
        }
        throw new IllegalArgumentException(
                "Results are published for b, l, xl and xxl, not for \"" + name + "\". Choose one of these");
    }

    /** {@return the size of the model} */
    public GptSize size() {
        return size;
    }

    /** {@return the published Frechet distance} */
    public double fid() {
        return fid;
    }

    /** {@return the guidance that it was measured with} */
    public double guidance() {
        return guidance;
    }

    /** {@return LlamaGen's, by next-token prediction, at the same number of pixels} */
    public double nextTokenFid() {
        return nextTokenFid;
    }

    /** {@return the file of LlamaGen's weights for this size and number of pixels, if there is one} */
    public Optional<String> nextTokenFile() {
        return Optional.ofNullable(nextTokenFile);
    }

    /** {@return the file of the settings in samples/presets} */
    public String preset() {
        return name().toLowerCase(Locale.ROOT) + "-256.yaml";
    }

    /** {@return which settings are published and which are an assumption} */
    public String settingsNote() {
        return this == B
                ? "The training command of GPT-B is published."
                : "The training command of " + size + " is not published: that of GPT-B is assumed.";
    }
}
