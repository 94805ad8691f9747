package org.npp4j.samples.report;

import java.util.Map;

/**
 * What a run was made with.
 *
 * @param startedAt date and time in ISO 8601
 * @param commandLine the command with its options
 * @param versions name to version: NPP, Deeplearning4j, Java
 * @param os operating system, its version and processor type
 * @param cores processors that the JVM sees
 * @param maxHeapGib heap limit of the JVM in GiB
 * @param backend ND4J backend, such as CPU or CUDA
 * @param blas BLAS library
 * @param threads threads of ND4J's operations
 * @param blasThreads threads of BLAS
 * @param devices GPUs, or an empty string
 */
public record RunEnvironment(
        String startedAt,
        String commandLine,
        Map<String, String> versions,
        String os,
        int cores,
        double maxHeapGib,
        String backend,
        String blas,
        int threads,
        int blasThreads,
        String devices) {}
