package org.npp4j.samples.reproduce;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Something that a published result needs.
 *
 * @param kind what it is
 * @param state whether it is there
 * @param path where it is; null if it is missing
 * @param sha256 of its bytes, of codes as their description has it; null if it is missing or not known
 * @param notes what is wrong with it, or what one should know, each a sentence
 */
public record Ingredient(Kind kind, State state, Path path, String sha256, List<String> notes) {
    /** What a result needs. */
    public enum Kind {
        /** Encoder, codebook and decoder. */
        TOKENIZER(
                "VQ tokenizer",
                "vq_ds16_c2i.pt",
                "72 million parameters, 275 MiB or more",
                "the weights that the LlamaGen repository lists"),
        /** The pictures that codes are made of. */
        PICTURES(
                "ImageNet training images",
                "train/ with n01440764/ and 999 more folders",
                "1,281,167 pictures, 140 GB",
                "image-net.org"),
        /** Codes of the pictures. */
        CODES(
                "codes of ImageNet",
                "imagenet256_codes/ and imagenet256_labels/",
                "1,281,167 images x 10 crops x 256 tokens, 37 GB",
                "npp extract-codes"),
        /** A GPT of the size, trained. */
        GPT("trained GPT", "", "", ""),
        /** What samples are compared with. */
        REFERENCE(
                "reference of the evaluator",
                "VIRTUAL_imagenet256_labeled.npz",
                "10,000 images with statistics of all of ImageNet, 2 GB",
                "the reference batches of guided-diffusion (OpenAI)"),
        /** What looks at samples and reference. */
        INCEPTION(
                "Inception graph of 2015",
                "classify_image_graph_def.pb",
                "about 100 MB",
                "the evaluator of guided-diffusion, which fetches it; or TensorFlow's inception-2015-12-05.tgz");

        private final String title;
        private final String file;
        private final String size;
        private final String source;

        Kind(String title, String file, String size, String source) {
            this.title = title;
            this.file = file;
            this.size = size;
            this.source = source;
        }

        /** {@return what it is, in words} */
        public String title() {
            return title;
        }

        /** {@return its published name; empty if that depends on the result} */
        public String file() {
            return file;
        }

        /** {@return how large it is, in words} */
        public String size() {
            return size;
        }

        /** {@return where it comes from, in words} */
        public String source() {
            return source;
        }
    }

    /** Whether it is there. */
    public enum State {
        /** It is there and has the right structure. */
        FOUND,
        /** There is something of its name that is something else. */
        WRONG,
        /** It is not there. */
        MISSING
    }

    /**
     * Copies the notes.
     *
     * @param kind what it is
     * @param state whether it is there
     * @param path where it is, or null
     * @param sha256 of its bytes, or null
     * @param notes sentences
     */
    public Ingredient {
        notes = List.copyOf(notes);
    }

    /**
     * One that is not there.
     *
     * @param kind what it is
     * @return the ingredient
     */
    public static Ingredient missing(Kind kind) {
        return new Ingredient(kind, State.MISSING, null, null, List.of());
    }

    /** {@return whether it is there and has the right structure} */
    public boolean isFound() {
        return state == State.FOUND;
    }

    /** {@return the same for a report} */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("what", kind.title());
        map.put("state", state.name().toLowerCase(Locale.ROOT));
        map.put("expected", kind.file());
        map.put("path", path == null ? null : path.toString());
        map.put("sha256", sha256);
        map.put("notes", notes);
        return map;
    }
}
