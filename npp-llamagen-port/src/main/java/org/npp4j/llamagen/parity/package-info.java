/** Whether a network computes what PyTorch does: comparison with golden files. */
package org.npp4j.llamagen.parity;
