/**
 * Searches for the best patch plan with Arbiter: what to vary ({@link org.npp4j.arbiter.PatchPlanSpace}), how a candidate is
 * trained ({@link org.npp4j.arbiter.PatchPlanTaskCreator}) and scored ({@link org.npp4j.arbiter.CandidateScore}), and {@link
 * org.npp4j.arbiter.Sweep}, which does all of it so that nothing that was finished is lost or repeated.
 *
 * <p>Arbiter's newest version is 1.0.0-beta7. It runs on Deeplearning4j 1.0.0-M2.1 as long as all of ND4J's and
 * Deeplearning4j's artifacts are managed to that version, as this project's parent does.
 */
package org.npp4j.arbiter;
