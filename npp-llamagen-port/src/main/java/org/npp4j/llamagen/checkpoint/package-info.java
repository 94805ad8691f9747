/** Checkpoints of the published PyTorch code: reading, writing, and what their tensors are called here. */
package org.npp4j.llamagen.checkpoint;
