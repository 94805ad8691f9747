package org.npp4j.llamagen.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.schedule.WeightAverage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes checkpoints and removes old ones. A checkpoint is written under a hidden name, forced to disk, and renamed: the
 * folder of a checkpoint is whole, or not there. One process at a time holds a folder.
 */
final class CheckpointFolder implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(CheckpointFolder.class);

    private static final String UNFINISHED = ".unfinished-";
    private static final String REPLACED = ".replaced-";

    private final CheckpointPolicy policy;
    private final RunPlan.Parser parser;
    private final FileChannel channel;

    /** Locks a folder and removes what a killed run left half written. */
    CheckpointFolder(CheckpointPolicy policy, RunPlan.Parser parser) throws IOException {
        this.policy = policy;
        this.parser = parser;
        Files.createDirectories(policy.folder());
        channel = lock(policy.folder());
        try {
            restoreReplaced();
            removeHidden();
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static FileChannel lock(Path folder) throws IOException {
        FileChannel channel =
                FileChannel.open(folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        try {
            // the system gives it back when the process ends, however it ends
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return channel;
            }
        } catch (OverlappingFileLockException e) {
            // another run of this process
            log.debug("{} is locked", folder, e);
        }
        channel.close();
        throw new IllegalStateException(
                "Another run is training in " + folder.toAbsolutePath() + ". Wait for it, or choose another folder");
    }

    TrainingCheckpoint write(
            ComputationGraph network, WeightAverage average, TrainingCheckpoint state, Map<String, String> versions)
            throws IOException {
        Path folder = policy.folder();
        String name = TrainingCheckpoint.name(state.step());
        Path unfinished = folder.resolve(UNFINISHED + name);
        try {
            remove(unfinished);
            Files.createDirectory(unfinished);
            NetworkZip.save(unfinished.resolve(TrainingCheckpoint.NETWORK), network);
            if (average != null) {
                AtomicFile.write(unfinished.resolve(TrainingCheckpoint.AVERAGE), average::save);
            }
            AtomicFile.writeText(
                    unfinished.resolve(TrainingCheckpoint.STATE),
                    in(unfinished, state).toJson(versions));
        } catch (IOException | RuntimeException | Error e) {
            try {
                remove(unfinished);
            } catch (IOException also) {
                e.addSuppressed(also);
            }
            throw e;
        }
        Path finished = folder.resolve(name);
        Path replaced = folder.resolve(REPLACED + name);
        if (Files.exists(finished)) {
            // a run that went back to an older checkpoint comes by again
            Files.move(finished, replaced, StandardCopyOption.ATOMIC_MOVE);
        }
        Files.move(unfinished, finished, StandardCopyOption.ATOMIC_MOVE);
        force(folder);
        remove(replaced);
        TrainingCheckpoint written = in(finished, state);
        removeOld(written);
        return written;
    }

    private static TrainingCheckpoint in(Path folder, TrainingCheckpoint state) {
        return new TrainingCheckpoint(
                folder,
                state.plan(),
                state.data(),
                state.batchesPerEpoch(),
                state.step(),
                state.epoch(),
                state.batch(),
                state.images(),
                state.seconds(),
                state.trainingLoss(),
                state.testLoss(),
                state.averageTestLoss());
    }

    /** Keeps the newest of this run and the best. Those ahead of the newest are of a run that went back behind them. */
    private void removeOld(TrainingCheckpoint newest) throws IOException {
        List<TrainingCheckpoint> all = new ArrayList<>(TrainingCheckpoint.list(policy.folder(), parser));
        Set<Path> keep = new HashSet<>();
        List<TrainingCheckpoint> behind =
                all.stream().filter(each -> each.step() <= newest.step()).toList();
        behind.subList(Math.max(0, behind.size() - policy.keepLast()), behind.size())
                .forEach(each -> keep.add(each.folder()));
        if (policy.keepBest()) {
            best(behind).ifPresent(each -> keep.add(each.folder()));
        }
        for (TrainingCheckpoint each : all) {
            if (!keep.contains(each.folder())) {
                // first out of sight, so that it is whole as long as it has its name
                Path hidden = policy.folder().resolve(UNFINISHED + each.folder().getFileName());
                Files.move(each.folder(), hidden, StandardCopyOption.ATOMIC_MOVE);
                remove(hidden);
            }
        }
    }

    /** The one of the lowest test loss; without, of the lowest training loss in the newest stage. */
    static Optional<TrainingCheckpoint> best(List<TrainingCheckpoint> all) {
        List<TrainingCheckpoint> tested =
                all.stream().filter(each -> each.testLoss().isPresent()).toList();
        if (!tested.isEmpty()) {
            return tested.stream()
                    .min(Comparator.comparingDouble(each -> each.testLoss().orElseThrow()));
        }
        // the stage of the steps that were made, not of the next one
        int stage = all.stream().mapToInt(CheckpointFolder::stageBefore).max().orElse(0);
        return all.stream()
                .filter(each -> each.trainingLoss().isPresent() && stageBefore(each) == stage)
                .min(Comparator.comparingDouble(each -> each.trainingLoss().orElseThrow()));
    }

    private static int stageBefore(TrainingCheckpoint checkpoint) {
        return checkpoint.plan().stageAt(Math.max(0, checkpoint.step() - 1), checkpoint.batchesPerEpoch());
    }

    /** A kill between the two moves of a replacement leaves the old one under its hidden name. */
    private void restoreReplaced() throws IOException {
        for (Path replaced : hidden(REPLACED)) {
            Path name =
                    policy.folder().resolve(replaced.getFileName().toString().substring(REPLACED.length()));
            if (!Files.exists(name)) {
                Files.move(replaced, name, StandardCopyOption.ATOMIC_MOVE);
            }
        }
    }

    private void removeHidden() throws IOException {
        for (Path each : hidden(UNFINISHED)) {
            remove(each);
        }
        for (Path each : hidden(REPLACED)) {
            remove(each);
        }
    }

    private List<Path> hidden(String prefix) throws IOException {
        try (Stream<Path> entries = Files.list(policy.folder())) {
            return entries.filter(entry -> entry.getFileName().toString().startsWith(prefix))
                    .toList();
        }
    }

    private static void remove(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> {
                try {
                    Files.delete(file);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    /** The rename itself is on disk only once its folder is. Not every system lets a folder be opened. */
    private static void force(Path folder) {
        try (FileChannel folderChannel = FileChannel.open(folder, StandardOpenOption.READ)) {
            folderChannel.force(true);
        } catch (IOException e) {
            log.debug("{} cannot be forced to disk", folder, e);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
