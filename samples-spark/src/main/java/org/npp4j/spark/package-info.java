/**
 * Training on a Spark cluster: {@code npp train} whose steps are made by Deeplearning4j's training master for averaged
 * parameters.
 *
 * <p>The driver holds the data, the network, its moving average, the report and the checkpoints. For each step it sends the
 * network and a share of the batch to every worker, which makes its own move; weights and optimizer are averaged on the way
 * back. The patch side travels with the network's configuration, so a stage begins with the step after the driver's own
 * network has changed.
 */
package org.npp4j.spark;
