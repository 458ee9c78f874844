package repliq;

import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** Tests that have a store and a queue. */
abstract class InStore {
    @TempDir Path dir;
    Store store;
    Queue queue;

    @BeforeEach
    void openStore() {
        store = Store.open(dir.resolve("s"));
        queue = store.queue("q");
    }

    @AfterEach
    void closeStore() {
        store.close();
    }
}
