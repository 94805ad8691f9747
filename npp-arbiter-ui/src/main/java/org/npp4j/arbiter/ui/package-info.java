/**
 * Arbiter's own pages for a {@link org.npp4j.arbiter.Sweep}: {@link org.npp4j.arbiter.ui.ArbiterView}.
 *
 * <p>They are those of {@code arbiter-ui} 1.0.0-beta7, which run on Deeplearning4j 1.0.0-M2.1. Two parts of them suppose that a
 * candidate is a network whose layers are searched over: the settings, and the details of a candidate. These say here what a
 * patch plan has.
 */
package org.npp4j.arbiter.ui;
