package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is confirmed is durable: on a disk that waits, and on one that breaks. */
class DurableTest {
    private static final List<String> FUTURES = List.of("putAsync", "putManyAsync", "storePutAsync", "commitAsync");

    @TempDir Path dir;

    private String onABadDisk() throws Exception {
        Path library = dir.resolve("gate.so");
        Process compiler = new ProcessBuilder("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library.toString(),
            Fixture.ROOT.resolve("bindings/c/tests/gate.c").toString()).inheritIO().start();
        assertEquals(0, compiler.waitFor());
        Path gate = Files.createDirectory(dir.resolve("gate"));
        return Child.run(dir, 0, BadDisk.class,
            Map.of("LD_PRELOAD", library.toString(), "REPLIQ_GATE", gate.toString()));
    }

    @Test
    void no_future_and_no_call_ends_before_its_commit_is_durable_and_none_on_a_broken_disk() throws Exception {
        String said = onABadDisk();
        assertTrue(said.endsWith("end\n"), said);
        assertFalse(said.contains("early"), said);
        for (String one : FUTURES) {
            assertTrue(said.contains("done " + one + " POWER\n"), said);
            assertTrue(said.contains("lost " + one + " "), said);
        }
        assertTrue(said.contains("done put POWER\n") && said.contains("done ack POWER\n"), said);
        assertFalse(said.contains("stored"), said);
        // Exactly one of those that were lost had its outcome unknown at least; the others found the store poisoned.
        Map<String, Integer> codes = new TreeMap<>();
        said.lines().filter(line -> line.startsWith("lost")).forEach(line -> codes.merge(line.split(" ")[2], 1, Integer::sum));
        assertTrue(codes.containsKey("OUTCOME_UNKNOWN"), "" + codes);
        assertTrue(List.of("OUTCOME_UNKNOWN", "POISONED").containsAll(codes.keySet()), "" + codes);
        try (Store store = Store.open(dir.resolve("store")); Snapshot snapshot = store.snapshot()) {
            // All that was confirmed, but what was acknowledged.
            List<String> found = snapshot.browse(store.queue("orders"), 1, 100).stream().map(Message::text)
                .collect(java.util.stream.Collectors.toList());
            assertTrue(found.containsAll(List.of("1", "2", "3", "4", "5", "put")), "" + found);
            assertEquals("1", store.consumer("clerk", "orders").receive(9, Fixture.NONE).get(0).text());
        }
    }
}
