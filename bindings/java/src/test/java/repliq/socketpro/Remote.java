package repliq.socketpro;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;
import repliq.Message;
import repliq.Queue;
import repliq.Server;
import repliq.Snapshot;
import repliq.Store;
import repliq.User;

/** A server of this process that goes and comes. */
final class Remote implements AutoCloseable {
    private final Path folder;
    private final int port = freePort();
    private Store store;
    private Server server;

    Remote(Path folder) {
        this.folder = folder;
        up();
    }

    /** A port nobody listens on. */
    static int freePort() {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Somewhere nobody listens. */
    static CConnectionContext nowhere() {
        return new CConnectionContext("127.0.0.1", freePort(), "ann", "secret");
    }

    /** Waits until it is so. */
    static void soon(BooleanSupplier condition, String what) {
        long end = System.nanoTime() + 30_000_000_000L;
        while (!condition.getAsBoolean() && System.nanoTime() < end) {
            pause(10);
        }
        assertTrue(condition.getAsBoolean(), what);
    }

    static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    void up() {
        try {
            Files.createDirectories(folder.getParent());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        store = Store.open(folder);
        server = new Server(store, o -> o.listen("127.0.0.1:" + port)
                .plain(true)
                .users(User.of("ann", "secret").allow("replicate", "*")));
    }

    void down() {
        server.close();
        store.close();
    }

    @Override
    public void close() {
        down();
    }

    CConnectionContext at() {
        return at("secret");
    }

    CConnectionContext at(String password) {
        return new CConnectionContext("127.0.0.1", port, "ann", password);
    }

    Store store() {
        return store;
    }

    /** What a queue here holds. */
    List<Message> has(String queue) {
        Queue of = store.queue(queue);
        try (Snapshot snapshot = store.snapshot()) {
            return snapshot.browse(of, 1, 10_000);
        }
    }
}
