package org.npp4j.arbiter.ui;

import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.net.URI;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.deeplearning4j.arbiter.optimize.config.OptimizationConfiguration;
import org.deeplearning4j.arbiter.optimize.runner.CandidateStatus;
import org.deeplearning4j.arbiter.optimize.runner.LocalOptimizationRunner;
import org.deeplearning4j.arbiter.optimize.serde.jackson.JsonMapper;
import org.deeplearning4j.arbiter.ui.data.GlobalConfigPersistable;
import org.deeplearning4j.arbiter.ui.data.ModelInfoPersistable;
import org.deeplearning4j.ui.model.storage.InMemoryStatsStorage;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.arbiter.Sweep;
import org.npp4j.arbiter.SweepView;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;

/**
 * Shows a sweep on Arbiter's own pages: how many candidates are finished, the best score and all scores over time, a table of
 * the candidates, and of each its patch plan, score, cost and loss curve. Candidates of earlier runs of the sweep are among
 * them, at the time they were finished; their loss curves are not kept.
 *
 * <p>The server listens on the loopback address alone.
 */
public final class ArbiterView implements SweepView {
    private static final MathContext SHOWN = new MathContext(6);

    private final String session = UUID.randomUUID().toString();
    private final InMemoryStatsStorage storage = new InMemoryStatsStorage();
    private final ArbiterPages pages = new ArbiterPages();
    private final Map<Integer, CandidateProgress> trained = new HashMap<>();
    private final Set<Integer> shown = new HashSet<>();
    private final Set<PatchPlan> left = new HashSet<>();
    private final Set<PatchPlan> running = new HashSet<>();
    private LocalServer server;
    private Sweep sweep;
    private long start;

    /** A view that shows nothing yet. */
    public ArbiterView() {}

    @Override
    public URI open(int port) throws IOException {
        server = new LocalServer(port, pages.getRoutes());
        return URI.create("http://localhost:" + server.port() + ArbiterPages.PAGE);
    }

    @Override
    public synchronized void show(Sweep shownSweep) {
        sweep = shownSweep;
        left.addAll(sweep.plansLeft());
        start = System.currentTimeMillis();
        for (CandidateResult result : sweep.results()) {
            start = Math.min(start, finished(result) - Math.round(1e3 * result.seconds()));
        }
        update();
        pages.show(sweep, trained);
        pages.onAttach(storage);
    }

    @Override
    public synchronized void onStart(int index, PatchPlan plan) {
        CandidateProgress progress = new CandidateProgress(plan, System.currentTimeMillis());
        synchronized (trained) {
            trained.put(index, progress);
        }
        running.add(plan);
        put(index, CandidateStatus.Running, null, progress.started());
        update();
    }

    @Override
    public void onStep(int index, PatchPlan plan, Trainer trainer, TrainingStep step) {
        CandidateProgress progress;
        synchronized (trained) {
            progress = trained.get(index);
        }
        progress.add(trainer, step);
    }

    @Override
    public synchronized void onEnd(CandidateResult result) {
        synchronized (trained) {
            trained.get(result.index()).end(result);
        }
        running.remove(result.plan());
        if (result.status() == CandidateResult.Status.STOPPED) {
            put(result.index(), CandidateStatus.Cancelled, null, System.currentTimeMillis());
        }
        update();
    }

    /** What the sweep knows by now, earlier runs included. */
    private void update() {
        int failed = 0;
        int done = 0;
        for (CandidateResult result : sweep.results()) {
            // of another space, or not proposed yet
            if (result.index() < 0 || result.status() == CandidateResult.Status.STOPPED) {
                continue;
            }
            boolean isDone = result.status() == CandidateResult.Status.DONE;
            done += isDone ? 1 : 0;
            failed += isDone ? 0 : 1;
            left.remove(result.plan());
            if (shown.add(result.index())) {
                put(
                        result.index(),
                        isDone ? CandidateStatus.Complete : CandidateStatus.Failed,
                        result.score().isPresent() ? result.score().getAsDouble() : null,
                        trained.containsKey(result.index()) ? System.currentTimeMillis() : finished(result));
            }
        }
        Set<PatchPlan> queued = new HashSet<>(left);
        queued.addAll(running);
        storage.putStaticInfo(new GlobalConfigPersistable.Builder()
                .sessionId(session)
                .timestamp(System.currentTimeMillis())
                .optimizationConfigJson(configuration())
                .candidateCounts(queued.size(), done, failed, queued.size() + done + failed)
                .optimizationRunner(LocalOptimizationRunner.class.getSimpleName())
                .build());
    }

    private void put(int index, CandidateStatus status, Double score, long time) {
        storage.putUpdate(new ModelInfoPersistable.Builder()
                .timestamp(time)
                .sessionId(session)
                .workerId(String.valueOf(index))
                .modelIdx(index)
                .score(score == null ? null : rounded(score))
                .status(status)
                .build());
    }

    private static double rounded(double score) {
        return Double.isFinite(score) ? new BigDecimal(score).round(SHOWN).doubleValue() : score;
    }

    private static long finished(CandidateResult result) {
        return Instant.parse(result.finished()).toEpochMilli();
    }

    /** What the pages read of Arbiter's configuration: the rest of it is no JSON. */
    private String configuration() {
        OptimizationConfiguration configuration = new OptimizationConfiguration();
        configuration.setScoreFunction(new NamedScore(sweep.score().name()));
        configuration.setTerminationConditions(List.of(new NamedEnd(sweep.end())));
        configuration.setExecutionStartTime(start);
        try {
            return JsonMapper.getMapper().writeValueAsString(configuration);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        if (server != null) {
            server.close();
        }
    }
}
