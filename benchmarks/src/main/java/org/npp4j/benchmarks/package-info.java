/**
 * JMH benchmarks of single operations at the sizes of GPT-B with a batch of 4: one package for each module whose operations
 * it measures. Whole training steps and sampling are timed by {@code ./npp bench}.
 */
package org.npp4j.benchmarks;
