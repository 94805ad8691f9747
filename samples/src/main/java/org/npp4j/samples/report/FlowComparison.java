package org.npp4j.samples.report;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * Models that draw by flows, each at several numbers of steps: what an image costs and how good it is.
 *
 * @param data what they were trained on
 * @param network that judges
 * @param images drawn for each point
 * @param referenceImages test images that they are compared with
 * @param referenceAgreement share of the test images that the network assigns to their class
 * @param guidance scale
 * @param seed of the noise and, where it trained here, of the training
 * @param models at least two; the last is the baseline
 * @param ratios of each other model to the baseline
 * @param published costs at published sizes, computed and not run
 * @param environment machine and versions
 */
public record FlowComparison(
        String data,
        String network,
        int images,
        int referenceImages,
        double referenceAgreement,
        double guidance,
        long seed,
        List<Model> models,
        List<Ratio> ratios,
        List<Published> published,
        RunEnvironment environment) {
    /**
     * A model.
     *
     * @param name in a few words
     * @param parameters how many
     * @param gflopTrainingImage operations of training on an image once
     * @param training what was done here; null if it was trained before
     * @param points in the order of steps
     */
    public record Model(
            String name, long parameters, double gflopTrainingImage, Training training, List<Point> points) {}

    /**
     * A training.
     *
     * @param images seen, with repetitions
     * @param teraflop operations
     * @param seconds of wall-clock time
     * @param loss mean of the last tenth of the steps
     */
    public record Training(long images, double teraflop, double seconds, double loss) {}

    /**
     * A model at a number of steps.
     *
     * @param steps n; of a model in stages those of each stage
     * @param gflop operations of an image
     * @param seconds of an image, without decoding the latent
     * @param fid of the network's features
     * @param agreement share of the images that the network assigns to the class asked for
     */
    public record Point(int steps, double gflop, double seconds, double fid, double agreement) {}

    /**
     * What the baseline costs for the same quality as another model.
     *
     * @param model the other one
     * @param quality which quality: a sentence
     * @param fid no model of the two is worse than this
     * @param steps cheapest ones of the model that reach it; null if none does
     * @param baselineSteps cheapest ones of the baseline that reach it; null if none does
     * @param operations those of the baseline over those of the model: above 1 the model is cheaper; null if one does not
     *     reach it
     * @param seconds those of the baseline over those of the model
     */
    public record Ratio(
            String model,
            String quality,
            double fid,
            Integer steps,
            Integer baselineSteps,
            Double operations,
            Double seconds) {}

    /**
     * Cost at a published size.
     *
     * @param name of model and setting
     * @param parameters how many
     * @param steps of the flow or diffusion
     * @param teraflop operations of an image
     * @param ratio operations of the published model at its own setting over these
     */
    public record Published(String name, long parameters, int steps, double teraflop, double ratio) {}

    /**
     * Ratios at equal quality: first at the best quality that both reach, then at that of each point of the model, then at
     * that of each point of the baseline.
     *
     * @param model with points
     * @param baseline with points
     * @return the ratios
     */
    public static List<Ratio> ratios(Model model, Model baseline) {
        List<Ratio> ratios = new ArrayList<>();
        ratios.add(ratio(model, baseline, "the best that both reach", Math.max(best(model), best(baseline))));
        for (Point point : model.points()) {
            ratios.add(ratio(model, baseline, model.name() + ", " + point.steps() + " steps", point.fid()));
        }
        for (Point point : baseline.points()) {
            ratios.add(ratio(model, baseline, baseline.name() + ", " + point.steps() + " steps", point.fid()));
        }
        return ratios;
    }

    private static double best(Model model) {
        return model.points().stream().mapToDouble(Point::fid).min().orElseThrow();
    }

    private static Ratio ratio(Model model, Model baseline, String quality, double fid) {
        Optional<Point> ours = cheapest(model, fid);
        Optional<Point> theirs = cheapest(baseline, fid);
        boolean both = ours.isPresent() && theirs.isPresent();
        return new Ratio(
                model.name(),
                quality,
                fid,
                ours.map(Point::steps).orElse(null),
                theirs.map(Point::steps).orElse(null),
                both ? theirs.get().gflop() / ours.get().gflop() : null,
                both ? theirs.get().seconds() / ours.get().seconds() : null);
    }

    private static Optional<Point> cheapest(Model model, double fid) {
        return model.points().stream()
                .filter(point -> point.fid() <= fid)
                .min(Comparator.comparingDouble(Point::gflop));
    }
}
