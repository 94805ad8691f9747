/**
 * How good generated images are: the Fréchet distance (FID, sFID), Inception score, precision and recall, computed from the
 * features that a network sees in the images.
 *
 * <p>A score means nothing without the network that gave the features, and is compared only with scores of the same
 * network, the same reference and the same number of images.
 *
 * <p>Axis letters: N images, F features of an image, C classes.
 */
package org.npp4j.llamagen.evaluation;
