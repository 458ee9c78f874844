package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The log of the library, as a program that uses java.util.logging behind System.Logger sees it. */
class LogTest {
    @TempDir Path dir;
    private final Logger root = Logger.getLogger("repliq");
    private final List<LogRecord> records = new CopyOnWriteArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord record) {
            records.add(record);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    @BeforeEach
    void listen() {
        root.addHandler(handler);
        root.setUseParentHandlers(false);
    }

    @AfterEach
    void quiet() {
        root.removeHandler(handler);
        root.setUseParentHandlers(true);
        root.setLevel(null);
    }

    private boolean has(Level level, String text) {
        return records.stream().anyMatch(record -> record.getLevel().equals(level)
            && record.getLoggerName().startsWith("repliq.") && record.getMessage().contains(text));
    }

    private void serve(String name) {
        try (Store store = Store.open(dir.resolve(name)); Server server = Fixture.server(store)) {
            assertEquals(1, server.addresses().size());
        }
    }

    @Test
    void lines_of_the_library_arrive_under_its_name_with_their_level() throws Exception {
        serve("a");
        Fixture.until(() -> has(Level.INFO, "plain TCP is allowed"));
    }

    @Test
    void what_nobody_reads_is_not_collected_and_a_changed_level_is_seen() throws Exception {
        root.setLevel(Level.SEVERE);
        // The thread that asks for the level does so after each of its waits.
        long seen = System.nanoTime();
        Fixture.until(() -> System.nanoTime() - seen > 1_000_000_000L);
        records.clear();
        serve("b");
        root.setLevel(Level.ALL);
        Fixture.until(() -> {
            serve("c");
            return has(Level.INFO, "plain TCP is allowed");
        });
        assertTrue(records.stream().noneMatch(record -> record.getMessage().contains("{")), "a pattern");
    }

    @Test
    void what_a_handler_throws_is_told_with_its_trace() throws Exception {
        try (Store store = Store.open(dir.resolve("d"))) {
            Queue queue = store.queue("q");
            queue.put(new byte[1]);
            IllegalStateException thrown = new IllegalStateException("no");
            try (Listener listener = store.consumer("c", queue).listen((session, message) -> {
                throw thrown;
            }, o -> o.policy(Policy.PARK))) {
                Fixture.until(() -> listener.status().failed() > 0);
            }
            Fixture.until(() -> records.stream().anyMatch(record -> record.getThrown() == thrown));
        }
    }
}
