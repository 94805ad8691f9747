package org.npp4j.samples;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.arbiter.PatchPlanSpace;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Option;

/** Options of {@code npp sweep} that say what is varied. */
final class SweepSpaceOptions {
    private static final String RANGE = "..";

    @Option(
            names = "--patch-levels",
            paramLabel = "L,L,..",
            split = ",",
            hideParamSyntax = true,
            description = "Patch levels; 1 is next-token prediction. Default: 1,2,3.")
    private int[] patchLevels;

    @Option(
            names = "--epoch-rates",
            paramLabel = "R,R,..",
            description = "Epoch rates, or a range: 0.3..0.7. Default: 0.3,0.5,0.7.")
    private String epochRates;

    @Option(
            names = "--patch-plans",
            paramLabel = "PLAN;PLAN;..",
            split = ";",
            hideParamSyntax = true,
            description = "Stages of your own instead, such as \"4:3,2:6,1:12;2:6,1:12\" (in quotes).")
    private String[] plans;

    @Option(
            names = "--lrs",
            paramLabel = "RATE,RATE,..",
            description = "Learning rates, or a range: 3e-4..3e-3. Default: that of --lr.")
    private String learningRates;

    @Option(
            names = "--decay-ratios",
            paramLabel = "R,R,..",
            split = ",",
            hideParamSyntax = true,
            description = "Shares of each stage in which the learning rate falls. Default: that of --decay-ratio.")
    private double[] decayRatios;

    /**
     * The space.
     *
     * @param base plan, which says how many epochs
     * @throws IllegalArgumentException if a value is out of its range
     */
    PatchPlanSpace space(TrainingPlan base) {
        if (plans == null && base.stages().unit() != PatchStages.Unit.EPOCHS) {
            throw new IllegalArgumentException("Patch levels and epoch rates need a number of epochs: give --epochs, or"
                    + " stages in steps as --patch-plans");
        }
        PatchPlanSpace.Builder space =
                new PatchPlanSpace.Builder(plans == null ? base.stages().end() : 1);
        if (plans != null) {
            space.stages(List.of(plans));
        }
        if (patchLevels != null) {
            space.patchLevels(patchLevels);
        }
        if (epochRates != null) {
            double[] rates = numbers("--epoch-rates", epochRates);
            if (isRange(epochRates)) {
                space.epochRateBetween(rates[0], rates[1]);
            } else {
                space.epochRates(rates);
            }
        }
        if (learningRates != null) {
            double[] rates = numbers("--lrs", learningRates);
            if (isRange(learningRates)) {
                space.learningRateBetween(rates[0], rates[1]);
            } else {
                space.learningRates(rates);
            }
        }
        if (decayRatios != null) {
            space.decayRatios(decayRatios);
        }
        return space.build();
    }

    private static boolean isRange(String text) {
        return text.contains(RANGE);
    }

    private static double[] numbers(String option, String text) {
        List<Double> numbers = new ArrayList<>();
        String[] parts = isRange(text) ? text.split("\\.\\.", -1) : text.split(",", -1);
        try {
            for (String part : parts) {
                numbers.add(Double.parseDouble(part.trim()));
            }
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    option + " must be numbers such as 0.3,0.5 or a range such as 0.3..0.7, got " + text, e);
        }
        if (isRange(text) && parts.length != 2) {
            throw new IllegalArgumentException(option + ": a range has two ends, got " + text);
        }
        return numbers.stream().mapToDouble(Double::doubleValue).toArray();
    }
}
