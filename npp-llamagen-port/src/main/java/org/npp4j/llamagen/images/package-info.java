/**
 * Images and token sets on their way in and out: pictures, their preparation, data files, batches.
 *
 * <p>Axis letters: B images, C channels, H x W pixels (height x width), N tokens of one image.
 */
package org.npp4j.llamagen.images;
