package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A {@code repliq serve} of its own for a test: started, stopped, killed, started again at the same place. */
final class Served implements AutoCloseable {
    static final String PASSWORD = "a long password";
    static final String PROGRAM = Fixture.ROOT.resolve("target/debug/repliq").toString();

    final Path socket;
    private final Path dir;
    private final List<String> words;
    private String address = "127.0.0.1:0";
    private Process process;

    Served(Path dir, String... words) throws Exception {
        this.dir = dir;
        this.words = List.of(words);
        socket = dir.resolve("socket");
        Path secret = Files.writeString(dir.resolve("password"), PASSWORD + "\n");
        Files.setPosixFilePermissions(secret, PosixFilePermissions.fromString("rw-------"));
        run(PROGRAM, "user", "add", dir.resolve("users").toString(), "ann", "--right",
            "publish,browse,consume,admin:*", "--new-password-file", secret.toString());
        start();
    }

    /** Runs a program to its end. */
    static void run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), said);
    }

    /** A certificate of its own authority, for one name, and beside it its key. */
    static Path certify(Path dir, String name) throws Exception {
        Path certificate = dir.resolve(name + ".pem");
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key(certificate).toString(), "-out", certificate.toString(), "-days", "2", "-subj", "/CN=office",
            "-addext", "subjectAltName=DNS:" + name, "-addext", "basicConstraints=critical,CA:FALSE");
        Files.setPosixFilePermissions(key(certificate), PosixFilePermissions.fromString("rw-------"));
        return certificate;
    }

    static Path key(Path certificate) {
        return Path.of(certificate + ".key");
    }

    /** Begins to serve, at the same place as before. */
    void start() throws IOException {
        List<String> command = new ArrayList<>(List.of(PROGRAM, "serve", dir.resolve("store").toString(), "--users-file",
            dir.resolve("users").toString(), "--listen", address, "--listen", "unix:" + socket));
        command.addAll(words);
        process = new ProcessBuilder(command).redirectError(dir.resolve("log").toFile()).start();
        // The reader belongs to the process, which is what is closed.
        BufferedReader said = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = said.readLine();
        assertTrue(line != null && line.startsWith("listening on "), () -> line + log());
        address = line.split(" ")[2];
    }

    private String log() {
        try {
            return Files.readString(dir.resolve("log"));
        } catch (IOException error) {
            return error.toString();
        }
    }

    String url() {
        return "repliq://ann@" + address;
    }

    /** How a test logs in over TCP. */
    static void plain(StoreOptions options) {
        options.password(PASSWORD).plain(true).heartbeat(Duration.ofMillis(500)).reconnectMax(Duration.ofMillis(100));
    }

    Store open() {
        return Store.open(url(), Served::plain);
    }

    /** With times that are not over before a test is. */
    Store openPatiently() {
        return Store.open(url(), o -> {
            plain(o);
            o.heartbeat(Duration.ofSeconds(20)).connectTimeout(Duration.ofMinutes(1));
        });
    }

    /** Ends it as a crash does. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
    }

    /** It lives and does nothing, until it goes on. */
    void stop() throws Exception {
        run("kill", "-STOP", Long.toString(process.pid()));
        // A signal that was sent is not yet one that was heard.
        TimeUnit.MILLISECONDS.sleep(20);
    }

    void goOn() throws Exception {
        run("kill", "-CONT", Long.toString(process.pid()));
    }

    @Override
    public void close() throws InterruptedException {
        kill();
    }
}
