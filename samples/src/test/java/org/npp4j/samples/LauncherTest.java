package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs the launcher in a made-up checkout, with a PATH that holds stubs of java and mvn and the tools of POSIX. */
class LauncherTest {
    private static final Path SHELL = Path.of("/bin/sh");

    private static final List<String> TOOLS = List.of(
            "awk", "cat", "cp", "date", "dirname", "find", "head", "mkdir", "mv", "readlink", "rm", "sed", "sleep");

    private static final String JAVA_17 = String.join(
            "\n",
            "if [ \"$1\" = -version ]; then echo 'openjdk version \"17.0.9\" 2023-10-17' >&2; exit 0; fi",
            "if [ \"$1\" = -XshowSettings:properties ]; then echo '    java.home = /the jdk' >&2; exit 0; fi",
            "for a in \"$@\"; do echo \"[$a]\"; done",
            "exit 7");

    /** Writes down how it was called, and makes what the launcher looks for. */
    private static final String MAVEN_3_9 = String.join(
            "\n",
            "case \"$*\" in *--version*) echo 'Apache Maven 3.9.6 (abc)'; exit 0;; esac",
            "echo \"JAVA_HOME=$JAVA_HOME $*\" >>mvn-calls",
            "[ ! -f broken ] || { echo 'BAD SOURCE'; exit 1; }",
            "mkdir -p samples/target",
            "echo jar >samples/target/npp-samples-1.jar",
            "echo jar >samples/target/npp-samples-1-sources.jar",
            "for b in nd4j-native nd4j-cuda-11.6-platform; do",
            "    echo \"$PWD/library.jar\" >samples/target/class-path-$b",
            "done",
            "echo jar >library.jar");

    @TempDir
    private Path folder;

    private Path checkout;
    private Path bin;
    private String javaHome;
    private String profile;
    private String coreType;

    @BeforeEach
    void makeCheckout() throws IOException {
        assumeTrue(Files.isExecutable(SHELL), "needs a POSIX shell");
        checkout = Files.createDirectories(folder.resolve("a check out"));
        Files.copy(Path.of("..", "npp"), checkout.resolve("npp"));
        Files.writeString(checkout.resolve("pom.xml"), "<project/>");
        Files.createDirectories(checkout.resolve("samples/src/main/java"));
        Files.writeString(checkout.resolve("samples/pom.xml"), "<project/>");
        bin = Files.createDirectory(folder.resolve("bin"));
        for (String tool : TOOLS) {
            for (String where : List.of("/usr/bin", "/bin")) {
                Path real = Path.of(where, tool);
                if (Files.exists(real) && !Files.exists(bin.resolve(tool))) {
                    Files.createSymbolicLink(bin.resolve(tool), real);
                }
            }
        }
    }

    @Test
    void noJava() throws Exception {
        Output output = npp("--help");
        assertEquals(1, output.code);
        output.says(
                "JDK 17 or newer", "PATH: no java", "apt-get install openjdk-17-jdk", "dnf install", "brew install");
    }

    @Test
    void oldJava() throws Exception {
        stub("java", "echo 'openjdk version \"11.0.21\" 2023-10-17' >&2");
        stub("javac", "");
        npp("--help").says("version 11.0.21, too old", "JDK 17 or newer");
        stub("java", "echo 'java version \"1.8.0_402\"' >&2");
        npp("--help").says("version 1.8.0_402, too old");
    }

    @Test
    void runtimeWithoutCompiler() throws Exception {
        stub("java", JAVA_17);
        npp("--help").says("a JRE without the compiler javac");
    }

    @Test
    void javaHomeComesFirstThenPath() throws Exception {
        javaHome = folder.resolve("old jdk").toString();
        Files.createDirectories(folder.resolve("old jdk/bin"));
        executable(folder.resolve("old jdk/bin/java"), "echo 'openjdk version \"11.0.1\"' >&2");
        npp("--help").says("old jdk/bin/java: version 11.0.1, too old", "PATH: no java");
        stubJdkAndMaven();
        assertEquals(7, npp("--help").code);
    }

    @Test
    void noMaven() throws Exception {
        stub("java", JAVA_17);
        stub("javac", "");
        Output output = npp("--help");
        assertEquals(1, output.code);
        output.says("Maven 3.6.3 or newer", "there is no mvn on PATH", "apt-get install maven", "brew install maven");
    }

    @Test
    void oldMaven() throws Exception {
        stub("java", JAVA_17);
        stub("javac", "");
        for (String old : List.of("3.6.2", "3.0.5", "2.2.1")) {
            stub("mvn", "echo 'Apache Maven " + old + " (abc)'");
            npp("--help").says("is version " + old);
        }
        stubJdkAndMaven();
        for (String good : List.of("3.6.3", "3.10.0", "4.0")) {
            stub("mvn", MAVEN_3_9.replace("3.9.6", good));
            Files.deleteIfExists(checkout.resolve("samples/target/npp/cpu/stamp"));
            assertEquals(7, npp("--help").code, good);
        }
    }

    @Test
    void buildsOnceAndPassesEverythingOn() throws Exception {
        stubJdkAndMaven();
        Output output = npp("quickstart", "--out", "a b", "", "$(x) 'y' \"z\" *");
        assertEquals(7, output.code);
        output.says(
                "npp: building",
                "[-Xmx1g]",
                "[-Dnpp.terminal=false]",
                "[org.npp4j.samples.Npp]\n[quickstart]\n[--out]\n[a b]\n[]\n[$(x) 'y' \"z\" *]\n");
        assertFalse(output.text.contains("sources.jar"), output.text);
        assertTrue(
                mavenCalls().get(0).startsWith("JAVA_HOME=/the jdk -q -B package"),
                mavenCalls().toString());

        assertFalse(npp("--help").text.contains("building"));
        assertEquals(1, mavenCalls().size());
    }

    @Test
    void worksThroughLinksAndFromElsewhere() throws Exception {
        stubJdkAndMaven();
        Path link = Files.createSymbolicLink(folder.resolve("second"), Path.of("a check out", "npp"));
        Path first = Files.createSymbolicLink(
                Files.createDirectory(folder.resolve("d")).resolve("first"), link);
        assertEquals(7, run(first, "--help").code);
        assertEquals(1, mavenCalls().size());
    }

    @Test
    void rebuildsWhenSomethingIsNewer() throws Exception {
        stubJdkAndMaven();
        npp("--help");
        Path source = checkout.resolve("samples/src/main/java/A.java");
        int builds = 1;
        for (Path changed : List.of(source, checkout.resolve("pom.xml"), checkout.resolve("samples/pom.xml"))) {
            Files.writeString(changed, "x");
            newerThanTheBuild(changed);
            npp("--help");
            assertEquals(++builds, mavenCalls().size(), changed.toString());
            Files.setLastModifiedTime(changed, FileTime.from(Instant.EPOCH));
        }
        Files.delete(source);
        newerThanTheBuild(source.getParent());
        npp("--help");
        assertEquals(++builds, mavenCalls().size(), "a source was deleted");
    }

    @Test
    void rebuildsWhenAJarIsGone() throws Exception {
        stubJdkAndMaven();
        npp("--help");
        try (Stream<Path> files = Files.walk(checkout.resolve("samples/target/npp/cpu"))) {
            for (Path jar : files.filter(f -> f.toString().endsWith(".jar")).toList()) {
                Files.delete(jar);
            }
        }
        npp("--help").says("building");
    }

    @Test
    void cudaHasABuildOfItsOwn() throws Exception {
        stubJdkAndMaven();
        npp("--help");
        npp("quickstart", "--cuda", "--seed", "1").says("building for cuda", "[quickstart]\n[--seed]\n[1]\n");
        assertTrue(mavenCalls().get(1).endsWith(" -Pcuda"), mavenCalls().toString());
        profile = "cuda";
        assertFalse(npp("--help").text.contains("building"));
        profile = "cpu";
        assertFalse(npp("--help").text.contains("building"));
        profile = "tpu";
        npp("--help").says("NPP_PROFILE is tpu, but must be cpu, mkl or cuda");
    }

    @Test
    void mklHasABuildOfItsOwn() throws Exception {
        stubJdkAndMaven();
        npp("quickstart", "--mkl", "--seed", "1").says("building for mkl", "[quickstart]\n[--seed]\n[1]\n");
        assertTrue(mavenCalls().get(0).endsWith(" -Pmkl"), mavenCalls().toString());
        profile = "mkl";
        assertFalse(npp("--help").text.contains("building"));
    }

    @Test
    void openBlasIsToldOfProcessorsItDoesNotKnow() throws Exception {
        stubJdkAndMaven();
        stub("java", JAVA_17.replace("exit 7", "echo \"core type ${OPENBLAS_CORETYPE-none}.\"; exit 7"));
        String avx512 = "fpu avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16";
        processor("AuthenticAMD", avx512);
        npp("--help").says("core type SKYLAKEX.");
        coreType = "ZEN";
        npp("--help").says("core type ZEN.");
        coreType = null;
        processor("AuthenticAMD", "fpu avx2 avx512f");
        npp("--help").says("core type none.");
        processor("GenuineIntel", avx512);
        npp("--help").says("core type none.");
        Files.writeString(folder.resolve("cpuinfo"), "processor\t: 0\nFeatures\t: fp asimd\n");
        npp("--help").says("core type none.");
    }

    /** An awk that reads a made-up description of the processor. */
    private void processor(String vendor, String flags) throws IOException {
        Path info = folder.resolve("cpuinfo");
        Files.writeString(
                info, "processor\t: 0\nvendor_id\t: " + vendor + "\nflags\t\t: " + flags + "\nbugs\t: none\n");
        Path awk = bin.resolve("awk");
        Path real = Files.isSymbolicLink(awk) ? Files.readSymbolicLink(awk) : Path.of("/usr/bin/awk");
        Files.deleteIfExists(awk);
        stub(
                "awk",
                String.join(
                        "\n",
                        "for a in \"$@\"; do",
                        "    shift",
                        "    [ \"$a\" != /proc/cpuinfo ] || a='" + info + "'",
                        "    set -- \"$@\" \"$a\"",
                        "done",
                        "exec " + real + " \"$@\""));
    }

    @Test
    void aFailedBuildShowsItsLogAndIsTriedAgain() throws Exception {
        stubJdkAndMaven();
        Files.createFile(checkout.resolve("broken"));
        Output output = npp("--help");
        assertEquals(1, output.code);
        output.says("BAD SOURCE", "the build failed");
        assertFalse(Files.exists(checkout.resolve("samples/target/npp/lock")), "the lock is gone");
        Files.delete(checkout.resolve("broken"));
        assertEquals(7, npp("--help").code);
    }

    @Test
    void twoAtOnceBuildOnce() throws Exception {
        stubJdkAndMaven();
        stub("mvn", MAVEN_3_9 + "\nsleep 1\n");
        Process first = start(checkout.resolve("npp"), "--help");
        Process second = start(checkout.resolve("npp"), "--help");
        assertEquals(7, finish(first).code);
        assertEquals(7, finish(second).code);
        assertEquals(1, mavenCalls().size());
    }

    @Test
    void theLockOfADeadProcessDoesNotCount() throws Exception {
        stubJdkAndMaven();
        Process dead = new ProcessBuilder(SHELL.toString(), "-c", "exit 0").start();
        dead.waitFor();
        Path lock = Files.createDirectories(checkout.resolve("samples/target/npp/lock"));
        Files.writeString(lock.resolve("pid"), dead.pid() + "\n");
        assertEquals(7, npp("--help").code);
        assertFalse(Files.exists(lock));
    }

    private void stubJdkAndMaven() throws IOException {
        stub("java", JAVA_17);
        stub("javac", "");
        stub("mvn", MAVEN_3_9);
    }

    private void stub(String name, String script) throws IOException {
        executable(bin.resolve(name), script);
    }

    private static void executable(Path file, String script) throws IOException {
        Files.writeString(file, "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private void newerThanTheBuild(Path file) throws IOException {
        FileTime build = Files.getLastModifiedTime(checkout.resolve("samples/target/npp/cpu/stamp"));
        Files.setLastModifiedTime(file, FileTime.from(build.toInstant().plusSeconds(1)));
    }

    private List<String> mavenCalls() throws IOException {
        return Files.readAllLines(checkout.resolve("mvn-calls"));
    }

    private Output npp(String... args) throws Exception {
        return run(checkout.resolve("npp"), args);
    }

    private Output run(Path launcher, String... args) throws Exception {
        return finish(start(launcher, args));
    }

    private Process start(Path launcher, String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(SHELL.toString(), launcher.toString()));
        command.addAll(Arrays.asList(args));
        ProcessBuilder builder = new ProcessBuilder(command).directory(folder.toFile());
        builder.redirectErrorStream(true);
        builder.environment().clear();
        builder.environment().put("PATH", bin.toString());
        if (javaHome != null) {
            builder.environment().put("JAVA_HOME", javaHome);
        }
        if (coreType != null) {
            builder.environment().put("OPENBLAS_CORETYPE", coreType);
        }
        if (profile != null) {
            builder.environment().put("NPP_PROFILE", profile);
        }
        return builder.start();
    }

    private static Output finish(Process process) throws Exception {
        process.getOutputStream().close();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), text);
        return new Output(process.exitValue(), text);
    }

    private record Output(int code, String text) {
        void says(String... parts) {
            for (String part : parts) {
                assertTrue(text.contains(part), text + "\nlacks: " + part);
            }
        }
    }
}
