package org.npp4j.samples.report;

/**
 * What a network thinks of the images that a model drew.
 *
 * @param network its name, which belongs to the distance's name: FID(network)
 * @param networkSha256 hash of its file
 * @param images how many were drawn, equally many of each class
 * @param referenceImages test images that they are compared with
 * @param fid Frechet distance of the network's features
 * @param classifierAgreement share of the images that the network assigns to the class asked for, 0 to 1
 * @param referenceAgreement the same share of the test images: what real images reach
 */
public record DrawnScores(
        String network,
        String networkSha256,
        int images,
        int referenceImages,
        double fid,
        double classifierAgreement,
        double referenceAgreement) {}
