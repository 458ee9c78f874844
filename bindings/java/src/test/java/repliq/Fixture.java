package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.function.Executable;

/** What several tests need. */
final class Fixture {
    static final Duration LONG = Duration.ofSeconds(30);
    static final Duration NONE = Duration.ZERO;
    static final Path ROOT = Path.of(System.getProperty("repliq.root")).normalize();

    private Fixture() {}

    /** Fails unless the call fails with this code. */
    static RepliqException refused(Code code, Executable call) {
        RepliqException error = assertThrows(RepliqException.class, call);
        assertEquals(code, error.code(), error.getMessage());
        return error;
    }

    /** Waits until it is so. */
    static void until(BooleanSupplier so) throws InterruptedException {
        long deadline = System.nanoTime() + LONG.toNanos();
        while (!so.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                fail("did not become so");
            }
            TimeUnit.MILLISECONDS.sleep(2);
        }
    }

    /** A server on a free port with the user "u", password "p", who may do everything. */
    static Server server(Store store) {
        return new Server(store, o -> o.listen("127.0.0.1:0").plain(true)
            .users(User.of("u", "p").allow("replicate,publish,browse,consume,admin", "*")));
    }

    static String url(Server server) {
        return "repliq://u@" + server.addresses().get(0);
    }
}
