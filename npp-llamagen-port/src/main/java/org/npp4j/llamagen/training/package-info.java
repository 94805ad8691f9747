/**
 * Training of the LlamaGen GPTs, and of other networks by the same loop, to be left alone for days.
 *
 * <p>{@link org.npp4j.llamagen.training.TrainingPlan} is everything that decides a GPT but the data, {@link
 * org.npp4j.llamagen.training.RunPlan} what the loop needs to know of any plan, {@link
 * org.npp4j.llamagen.training.Trainer} the loop, {@link org.npp4j.llamagen.training.TrainingCheckpoint} what a run needs to
 * go on as if nothing had happened.
 *
 * <p>A step is one move of the weights; steps count from 0, and "after step s" means that s steps have been made. All
 * randomness of a step follows from the plan's seed and the step's number.
 */
package org.npp4j.llamagen.training;
