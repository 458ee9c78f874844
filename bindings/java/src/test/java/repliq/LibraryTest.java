package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where the native library is found: each case in a JVM of its own. */
class LibraryTest {
    private static final Path JAR = Path.of(System.getProperty("repliq.jar"));
    private static final Path NATIVE = Path.of(System.getProperty("repliq.native.file"));

    @TempDir Path dir;

    /** Tries twice, as a program would whose first use fails. */
    public static final class Probe {
        public static void main(String[] arguments) {
            for (int at = 0; at < 2; at++) {
                try {
                    System.out.println("version " + Repliq.version() + ", ABI " + Repliq.abi());
                } catch (RepliqException error) {
                    System.out.println(error.code() + " " + error.getMessage());
                }
            }
        }
    }

    /** What the probe prints, the same twice, with these properties. */
    private String probe(Path library, String... properties) throws Exception {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin/java").toString(),
            "-Xcheck:jni"));
        command.addAll(Arrays.asList(properties));
        String tests = Path.of(Probe.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
        command.addAll(List.of("-cp", library + ":" + tests, Probe.class.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), text);
        List<String> lines = text.lines().collect(java.util.stream.Collectors.toList());
        assertEquals(2, lines.size(), text);
        assertEquals(lines.get(0), lines.get(1));
        return lines.get(0);
    }

    private static String found() {
        return "version " + Repliq.version() + ", ABI " + Repliq.abi();
    }

    /** The classes without a native library beside them. */
    private Path bare() throws IOException, InterruptedException {
        Path bare = Files.createDirectories(dir.resolve("bare"));
        Process jar = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin/jar").toString(), "xf",
            JAR.toString(), "repliq").directory(bare.toFile()).inheritIO().start();
        assertEquals(0, jar.waitFor());
        return bare;
    }

    private Path empty() throws IOException {
        return Files.createDirectories(dir.resolve("empty"));
    }

    @Test
    void the_jar_brings_its_own_and_leaves_no_file_behind() throws Exception {
        Path tmp = Files.createDirectories(dir.resolve("tmp"));
        assertEquals(found(), probe(JAR, "-Drepliq.native.tmpdir=" + tmp, "-Djava.library.path=" + empty()));
        try (Stream<Path> left = Files.list(tmp)) {
            assertEquals(0, left.count());
        }
    }

    @Test
    void a_named_file_is_the_only_one_that_is_tried() throws Exception {
        assertEquals(found(), probe(bare(), "-Drepliq.native.path=" + NATIVE, "-Djava.library.path=" + empty()));
        String text = probe(JAR, "-Drepliq.native.path=/nowhere/lib.so", "-Djava.library.path=" + NATIVE.getParent());
        assertTrue(text.startsWith("UNSUPPORTED "), text);
        assertTrue(text.contains("/nowhere/lib.so") && !text.contains("jar"), text);
    }

    @Test
    void the_path_of_the_system_comes_last() throws Exception {
        assertEquals(found(), probe(bare(), "-Djava.library.path=" + NATIVE.getParent()));
        // So it does where the library of the jar cannot be unpacked.
        assertEquals(found(), probe(JAR, "-Drepliq.native.tmpdir=" + dir.resolve("missing"),
            "-Djava.library.path=" + NATIVE.getParent()));
    }

    @Test
    void an_error_lists_every_place_that_was_tried_and_why_it_failed() throws Exception {
        String text = probe(bare(), "-Djava.library.path=" + empty());
        assertTrue(text.startsWith("UNSUPPORTED the native library cannot be loaded; tried the jar's /native/"), text);
        assertTrue(text.contains(Library.platform() + "/librepliq_jni.so (not in the jar); java.library.path (no repliq_jni"),
            text);
        text = probe(JAR, "-Drepliq.native.tmpdir=" + dir.resolve("missing"), "-Djava.library.path=" + empty());
        assertTrue(text.startsWith("UNSUPPORTED ") && text.contains("missing") && text.contains("no repliq_jni"), text);
    }

    @Test
    void a_library_that_is_not_ours_or_of_another_version_is_refused() throws Exception {
        Path foreign = foreign("foreign", "int nothing(void) { return 0; }");
        String text = probe(JAR, "-Drepliq.native.path=" + foreign);
        assertTrue(text.startsWith("VERSION ") && text.contains(foreign + " is no library of repliq"), text);
        Path other = foreign("other", "#include <jni.h>\n"
            + "JNIEXPORT jbyteArray JNICALL Java_repliq_Native_call(JNIEnv *e, jclass c, jint v, jlong h, jbyteArray i) {\n"
            + "  jbyte abi[4] = {7, 0, 0, 0};\n  jbyteArray a = (*e)->NewByteArray(e, 4);\n"
            + "  if (a) (*e)->SetByteArrayRegion(e, a, 0, 4, abi);\n  return a;\n}\n");
        text = probe(JAR, "-Drepliq.native.path=" + other);
        assertTrue(text.startsWith("VERSION ") && text.contains("has ABI 7, not " + Repliq.abi()), text);
    }

    /** A library made of this text in C. */
    private Path foreign(String name, String text) throws IOException, InterruptedException {
        Path source = Files.writeString(dir.resolve(name + ".c"), text);
        Path library = dir.resolve("lib" + name + ".so");
        Path include = Path.of(System.getProperty("java.home"), "include");
        Process compiler = new ProcessBuilder("cc", "-shared", "-fPIC", "-I" + include, "-I" + include.resolve("linux"),
            "-o", library.toString(), source.toString()).inheritIO().start();
        assertEquals(0, compiler.waitFor());
        return library;
    }

    @Test
    void the_codes_are_those_of_the_native_library() {
        Unpacker codes = new Packer().call(Verb.CODES, 0);
        assertEquals(Code.values().length, codes.i32());
        for (Code code : Code.values()) {
            assertEquals(code.number(), codes.i32());
            assertEquals(code.flags(), codes.i32(), code.name());
            assertEquals(code.name(), codes.text());
            if (code != Code.OK) {
                RepliqException error = RepliqException.of(code, "text");
                assertEquals(code, error.code());
                assertEquals("text", error.getMessage());
                String camel = Arrays.stream(code.name().split("_"))
                    .map(part -> part.charAt(0) + part.substring(1).toLowerCase(java.util.Locale.ROOT))
                    .collect(java.util.stream.Collectors.joining());
                assertEquals(camel, error.getClass().getSimpleName());
                assertEquals(code.isFatal(), error.isFatal());
                assertEquals(code.isRetriable(), error.isRetriable());
                assertEquals(code.requiresRollback(), error.requiresRollback());
            }
        }
        assertTrue(codes.isEmpty());
    }
}
