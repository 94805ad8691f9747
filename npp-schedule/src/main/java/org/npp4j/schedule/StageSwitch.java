package org.npp4j.schedule;

/**
 * A change of the patch side in a network.
 *
 * @param stageIndex index of the stage that begins, from 0
 * @param patchSide p from now on
 * @param epoch the network's epoch counter
 * @param iteration the first iteration with the new p
 */
public record StageSwitch(int stageIndex, int patchSide, int epoch, int iteration) {}
