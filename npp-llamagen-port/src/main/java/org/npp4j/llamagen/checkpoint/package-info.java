/**
 * Checkpoint files: PyTorch's and safetensors, in and out.
 *
 * <p>{@link org.npp4j.llamagen.checkpoint.TensorFile} opens a file and gives its tensors by name. Nothing of a tensor is
 * read before it is asked for, and then it is streamed: a file of gigabytes needs little more memory than the tensors
 * that are read from it. No code in a file can run: what a pickle says is taken as data.
 *
 * <p>{@link org.npp4j.llamagen.checkpoint.PyTorchWriter} and {@link org.npp4j.llamagen.checkpoint.SafetensorsWriter}
 * write tensors, from memory or from another file.
 */
package org.npp4j.llamagen.checkpoint;
