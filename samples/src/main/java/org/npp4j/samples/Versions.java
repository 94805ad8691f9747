package org.npp4j.samples;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** The versions that matter to a result. */
final class Versions implements IVersionProvider {
    /** {@return name to version} */
    static Map<String, String> all() {
        Map<String, String> versions = new LinkedHashMap<>();
        versions.put("NPP", version("/npp.properties"));
        versions.put("Deeplearning4j", version("/META-INF/maven/org.deeplearning4j/deeplearning4j-nn/pom.properties"));
        versions.put(
                "Java",
                System.getProperty("java.runtime.version") + " (" + System.getProperty("java.vm.name") + ", "
                        + System.getProperty("java.vendor") + ")");
        return versions;
    }

    @Override
    public String[] getVersion() {
        return all().entrySet().stream()
                .map(entry -> entry.getKey() + " " + entry.getValue())
                .toArray(String[]::new);
    }

    private static String version(String resource) {
        try (InputStream in = Versions.class.getResourceAsStream(resource)) {
            Properties properties = new Properties();
            if (in != null) {
                properties.load(in);
            }
            return properties.getProperty("version", "unknown");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
