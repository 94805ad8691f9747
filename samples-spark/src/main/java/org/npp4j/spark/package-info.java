/**
 * Training on a Spark cluster: {@code npp train} whose steps are made by Deeplearning4j's training master for averaged
 * parameters.
 *
 * <p>The driver holds the data, the network with its optimizer and moving average, the report and the checkpoints. For each
 * step it sends the weights and a share of the batch to every worker; gradients are averaged on the way back, and the driver
 * makes the step. The patch side travels with the network's configuration.
 */
package org.npp4j.spark;
