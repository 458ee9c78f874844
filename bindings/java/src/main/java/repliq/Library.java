package repliq;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Finds and loads the native library, once; what went wrong is said again to each who asks. */
final class Library {
    /** The file of the native library, which nothing else is tried before. */
    static final String PATH = "repliq.native.path";
    /** Where the library of the jar is unpacked for a moment. */
    static final String TMPDIR = "repliq.native.tmpdir";
    /** The number of the ABI this jar was made for. */
    static final int ABI = 0;
    private static final String NAME = "repliq_jni";

    private static boolean loaded;
    private static RepliqException failure;

    private Library() {}

    /** Loads the library unless it is there. */
    static synchronized void load() {
        if (loaded) {
            return;
        }
        if (failure == null) {
            failure = attempt();
        }
        if (failure != null) {
            throw RepliqException.of(failure.code(), failure.getMessage());
        }
        loaded = true;
        Log.start();
    }

    /** Tries every place in order; null when one had it. */
    private static RepliqException attempt() {
        List<String> tried = new ArrayList<>();
        String file = System.getProperty(PATH);
        boolean found = file != null
            ? tries(tried, PATH + " = " + file, () -> System.load(Path.of(file).toAbsolutePath().toString()))
            : bundled(tried)
                || tries(tried, "java.library.path", () -> System.loadLibrary(NAME));
        if (!found) {
            String text = "the native library cannot be loaded; tried " + String.join("; ", tried);
            return RepliqException.of(Code.UNSUPPORTED, text);
        }
        return check(tried.get(tried.size() - 1));
    }

    /** Refuses a library of another version, which may lie around where it was found. */
    private static RepliqException check(String where) {
        try {
            Unpacker answer = new Unpacker(Native.call(Verb.ABI, 0, new byte[0]));
            int abi = answer.i32();
            return abi == ABI ? null : wrong(where, "has ABI " + abi + ", not " + ABI);
        } catch (UnsatisfiedLinkError error) {
            return wrong(where, "is no library of repliq: " + error.getMessage());
        }
    }

    private static RepliqException wrong(String where, String why) {
        return RepliqException.of(Code.VERSION, "the native library of " + where + " " + why);
    }

    private interface Load {
        void load() throws IOException;
    }

    private static boolean tries(List<String> tried, String where, Load load) {
        try {
            load.load();
            tried.add(where);
            return true;
        } catch (IOException | UnsatisfiedLinkError | SecurityException error) {
            tried.add(where + " (" + error.getMessage() + ")");
            return false;
        }
    }

    private static boolean bundled(List<String> tried) {
        String resource = "/native/" + platform() + "/" + System.mapLibraryName(NAME);
        return tries(tried, "the jar's " + resource, () -> unpack(resource));
    }

    /** Unpacks the library, loads it, and deletes the file, which the process needs no more. */
    private static void unpack(String resource) throws IOException {
        try (InputStream from = Library.class.getResourceAsStream(resource)) {
            if (from == null) {
                throw new IOException("not in the jar");
            }
            String folder = System.getProperty(TMPDIR, System.getProperty("java.io.tmpdir"));
            Path file = Files.createTempFile(Path.of(folder), "repliq", System.mapLibraryName(NAME));
            try {
                Files.copy(from, file, StandardCopyOption.REPLACE_EXISTING);
                System.load(file.toAbsolutePath().toString());
            } finally {
                Files.deleteIfExists(file);
            }
        }
    }

    /** The folder of this system in the jar. */
    static String platform() {
        String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
        String os = system.startsWith("mac") ? "macos" : system.startsWith("windows") ? "windows" : system;
        String cpu = arch.equals("amd64") ? "x86_64" : arch.equals("arm64") ? "aarch64" : arch;
        return os + "-" + cpu + (isMusl() ? "-musl" : "");
    }

    /** Whether this process runs on musl; asked of the process, since a system may have both. */
    private static boolean isMusl() {
        try {
            return Files.readString(Path.of("/proc/self/maps")).contains("/ld-musl-");
        } catch (IOException | SecurityException error) {
            return false;
        }
    }
}
