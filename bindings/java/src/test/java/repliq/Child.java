package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A JVM of its own for a program that ends badly, or on a bad disk. */
final class Child {
    private Child() {}

    /** What it printed, which ended with this status; its first argument is the folder. */
    static String run(Path dir, int status, Class<?> program, Map<String, String> environment, String... arguments)
            throws Exception {
        List<String> command = new ArrayList<>();
        List<String> places = new ArrayList<>();
        for (Class<?> one : List.of(Store.class, program)) {
            places.add(Path.of(one.getProtectionDomain().getCodeSource().getLocation().toURI()).toString());
        }
        command.addAll(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xcheck:jni",
            "-Xmx48m", "-XX:ErrorFile=" + dir.resolve("crash.log"), "-cp", String.join(File.pathSeparator, places)));
        String library = environment.get(Library.PATH);
        if (library != null) {
            command.add("-D" + Library.PATH + "=" + library);
        }
        command.addAll(List.of(program.getName(), dir.toString()));
        command.addAll(List.of(arguments));
        Path output = dir.resolve("output");
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        boolean ended = process.waitFor(4, TimeUnit.MINUTES);
        process.destroyForcibly();
        String text = Files.readString(output);
        assertTrue(ended, text);
        assertEquals(status, process.exitValue(), text);
        // What -Xcheck:jni says, and a crash.
        assertFalse(text.contains("in native method") || text.contains("JNI local refs"), text);
        assertFalse(Files.exists(dir.resolve("crash.log")), text);
        return text;
    }
}
