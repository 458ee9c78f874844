package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.jar.JarFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bug of the library: a code, a line of the log, and a JVM that goes on. */
class PanicTest {
    private static final Path SABOTAGED = Fixture.ROOT.resolve("target/java/sabotage/librepliq_jni.so");

    @TempDir Path dir;

    @Test
    void a_panic_inside_any_function_is_a_code_and_the_jvm_goes_on() throws Exception {
        String said = Child.run(dir, 0, Sabotage.class, Map.of(Library.PATH, SABOTAGED.toString()));
        assertTrue(said.contains("calls 66\n"), said);
        assertTrue(said.contains("a listener ended with PANIC\n"), said);
        // Told by the logger, and nowhere else.
        assertTrue(said.contains("a bug of this library: panicked at "), said);
        assertTrue(!said.contains("thread '"), said);
        try (Store store = Store.open(dir.resolve("store")); Snapshot snapshot = store.snapshot()) {
            assertTrue(snapshot.browse(store.queue("orders"), 1, 1000).stream().noneMatch(one -> one.text().equals("never")));
        }
    }

    @Test
    void the_library_of_the_jar_holds_no_planted_fault() throws Exception {
        String resource = "native/" + Library.platform() + "/" + System.mapLibraryName("repliq_jni");
        try (JarFile jar = new JarFile(System.getProperty("repliq.jar"));
                InputStream from = jar.getInputStream(jar.getEntry(resource))) {
            assertEquals(0, planted(from.readAllBytes()));
        }
        // It would be found.
        assertEquals(1, planted(Files.readAllBytes(SABOTAGED)));
    }

    private static int planted(byte[] library) {
        return new String(library, StandardCharsets.ISO_8859_1).contains("Java_repliq_Sabotage_panic\0") ? 1 : 0;
    }
}
