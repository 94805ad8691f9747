/**
 * Checkpoint files: PyTorch's and safetensors, in and out.
 *
 * <p>{@link org.npp4j.llamagen.checkpoint.TensorFile} opens a file and gives its tensors by name. Nothing of a tensor is
 * read before it is asked for, and then it is streamed: a file of gigabytes needs little more memory than the tensors
 * that are read from it. No code in a file can run: what a pickle says is taken as data.
 *
 * <p>{@link org.npp4j.llamagen.checkpoint.PyTorchWriter} and {@link org.npp4j.llamagen.checkpoint.SafetensorsWriter}
 * write tensors, from memory or from another file.
 *
 * <p>{@link org.npp4j.llamagen.checkpoint.GptCheckpoint} is the GPT in such a file: {@link
 * org.npp4j.llamagen.checkpoint.GptParameters} names its tensors, and weights, optimizer and steps go into a network and
 * out of it. {@link org.npp4j.llamagen.checkpoint.NetworkZip} reads and writes Deeplearning4j's own files of any size, and
 * {@link org.npp4j.llamagen.checkpoint.CheckpointConversion} turns each kind of file into each.
 */
package org.npp4j.llamagen.checkpoint;
