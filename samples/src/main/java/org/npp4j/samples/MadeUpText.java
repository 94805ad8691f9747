package org.npp4j.samples;

import java.util.List;
import java.util.Random;

/** Sentences of a small grammar, character by character: text to learn from that nobody wrote. */
final class MadeUpText {
    /** Every character that occurs; an id is an index into it. */
    static final String ALPHABET = " .abcdefghijklmnopqrstuvwxyz";

    private static final List<String> ARTICLES = List.of("the", "a", "every", "this");
    private static final List<String> ADJECTIVES = List.of("small", "green", "quiet", "heavy", "bright", "old");
    private static final List<String> NOUNS = List.of("lamp", "river", "table", "bird", "window", "stone", "boat");
    private static final List<String> VERBS = List.of("finds", "carries", "follows", "hides", "watches", "turns");
    private static final List<String> ADVERBS = List.of("slowly", "again", "at night", "in the rain");

    private final Random random;

    MadeUpText(Random random) {
        this.random = random;
    }

    /**
     * Examples of running text, each from the start of a sentence.
     *
     * @param count how many
     * @param length characters in each
     * @return ids [count][length]
     */
    int[][] examples(int count, int length) {
        int[][] ids = new int[count][];
        for (int i = 0; i < count; i++) {
            StringBuilder text = new StringBuilder();
            while (text.length() < length) {
                text.append(sentence()).append(' ');
            }
            ids[i] = text.chars().limit(length).map(ALPHABET::indexOf).toArray();
        }
        return ids;
    }

    /** {@return a sentence: noun phrase, verb, noun phrase, sometimes an adverb} */
    String sentence() {
        String sentence = nounPhrase() + " " + any(VERBS) + " " + nounPhrase();
        return sentence + (random.nextBoolean() ? " " + any(ADVERBS) : "") + ".";
    }

    private String nounPhrase() {
        return any(ARTICLES) + " " + (random.nextBoolean() ? any(ADJECTIVES) + " " : "") + any(NOUNS);
    }

    private String any(List<String> words) {
        return words.get(random.nextInt(words.size()));
    }
}
