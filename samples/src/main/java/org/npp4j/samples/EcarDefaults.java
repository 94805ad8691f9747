package org.npp4j.samples;

import java.util.Map;
import picocli.CommandLine.IDefaultValueProvider;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;

/** What options that {@code npp ecar-train} shares with {@code npp train} are without being given, where that differs. */
final class EcarDefaults implements IDefaultValueProvider {
    private static final Map<String, String> VALUES = Map.ofEntries(
            Map.entry("--out", "npp-out/ecar"),
            Map.entry("--lr", "1e-3"),
            Map.entry("--scheduler", "true"),
            Map.entry("--warmup-epochs", "0.3"),
            Map.entry("--decay-ratio", "0.5"),
            Map.entry("--end-lr", "5e-5"),
            Map.entry("--weight-decay", "0"),
            Map.entry("--global-batch-size", "64"),
            Map.entry("--ema-decay", "0.999"),
            Map.entry("--ckpt-every", "500"),
            Map.entry("--log-every", "20"),
            Map.entry("--num-samples", "80"));

    @Override
    public String defaultValue(ArgSpec argument) {
        if (argument instanceof OptionSpec option) {
            for (String name : option.names()) {
                if (VALUES.containsKey(name)) {
                    return VALUES.get(name);
                }
            }
        }
        // then that of the option itself
        return null;
    }
}
