package org.npp4j.samples;

import java.nio.file.Path;

/**
 * What the user chose for a quickstart run.
 *
 * @param data folder of an IDX data set, or null for the one that is shipped
 * @param out where the models go
 * @param epochs epochs of each model
 * @param seed seed of data order, weights, dropout and drawing
 * @param ecarEpochs epochs of the ECAR; 0 for none
 */
record QuickstartSettings(Path data, Path out, int epochs, long seed, int ecarEpochs) {}
