package org.npp4j.samples;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.baseline.DitConfig;
import org.npp4j.ecar.baseline.DitCost;
import org.npp4j.samples.report.FlowComparison;

/**
 * What an image of 256 x 256 costs with DiT-XL/2 (arXiv 2212.09748: 118.6 billion multiply-adds a pass, 250 steps) and with
 * an ECAR of as many parameters. The sizes of the latter are a reconstruction, as no sizes of ECAR are known: the transformer has
 * DiT-XL/2's width and heads and as many layers as fit, the head about the share of MAR's, 16 channels on 16 x 16 are KL-16's
 * latents, which hold as many tokens of as many numbers as DiT-XL/2's patches do.
 */
final class PublishedCosts {
    /** Steps of the published samples. */
    static final int DIT_STEPS = 250;

    private static final double GUIDED = 2;
    private static final double TERA = 1e12;

    private PublishedCosts() {}

    /** {@return an ECAR of about the parameters of DiT-XL/2} */
    static EcarConfig ecar(int stages) {
        return new EcarConfig(16, 16, stages, 1152, 36, 16, 1000, 0.1, 0, new FlowHead.Grid(896, 9, 14));
    }

    /** {@return the costs, with guidance and without} */
    static List<FlowComparison.Published> all() {
        DitConfig dit = DitConfig.xl2();
        List<FlowComparison.Published> all = new ArrayList<>();
        for (double scale : new double[] {1, GUIDED}) {
            String guidance = scale == 1 ? "" : ", guided";
            double reference = DitCost.of(dit).ofImage(DIT_STEPS, scale) / TERA;
            all.add(new FlowComparison.Published("DiT-XL/2" + guidance, dit.parameters(), DIT_STEPS, reference, 1));
            EcarConfig ecar = ecar(3);
            EcarCost cost = EcarCost.of(ecar);
            for (int steps : new int[] {10, 25, 50, DIT_STEPS / 3, DIT_STEPS}) {
                double teraflop = cost.ofImage(FlowSampling.of(steps, scale)) / TERA;
                all.add(new FlowComparison.Published(
                        FlowModel.Ecar.name(ecar) + ", steps of each stage" + guidance,
                        ecar.parameters(),
                        steps,
                        teraflop,
                        reference / teraflop));
            }
        }
        return all;
    }
}
