package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What status calls answer, taken apart. */
class StatusTest extends InStore {
    @Test
    void every_kind_of_value_is_taken_apart() {
        Map<String, Object> values = new Status("{\"a\": [1, -2, 0.5, 18446744073709551615], \"b\" : {} ,\"c\":[],"
            + "\"d\":null,\"e\":true,\"f\":false,\"g\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\u4e16\",\"\":{\"x\":{\"y\":\"z\"}}}\n").values();
        assertEquals(List.of("a", "b", "c", "d", "e", "f", "g", ""), List.copyOf(values.keySet()));
        assertEquals(Arrays.asList(1L, -2L, 0.5, 18446744073709551615.0), values.get("a"));
        assertEquals(Map.of(), values.get("b"));
        assertEquals(List.of(), values.get("c"));
        assertTrue(values.containsKey("d") && values.get("d") == null);
        assertEquals(List.of(true, false), List.of(values.get("e"), values.get("f")));
        assertEquals("\"\\/\b\f\n\r\t\u00e4\u4e16", values.get("g"));
        assertEquals(Map.of("x", Map.of("y", "z")), values.get(""));
        assertThrows(UnsupportedOperationException.class, values::clear);
        assertThrows(UnsupportedOperationException.class, ((List<?>) values.get("a"))::clear);
    }

    @Test
    void what_is_no_object_is_a_bug_and_no_endless_loop() {
        for (String wrong : List.of("", "{", "{}}", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":\"", "{\"a\":\"\\u12",
            "{\"a\":tru}", "{\"a\":1e}", "{\"a\":[1 2]}", "{a:1}")) {
            Fixture.refused(Code.PANIC, () -> new Status(wrong));
        }
    }

    @Test
    void a_store_tells_its_queues_and_consumers() {
        queue.put(new byte[100]);
        store.consumer("clerk \"u\" \u4e16", queue).close();
        Status status = store.status();
        assertEquals(status.text(), status.toString());
        Map<?, ?> row = (Map<?, ?>) ((List<?>) status.values().get("queues")).get(0);
        assertEquals(List.of(queue.name(), 1L, false), List.of(row.get("name"), row.get("messages"), row.get("paused")));
        Map<?, ?> consumer = (Map<?, ?>) ((List<?>) row.get("consumers")).get(0);
        assertEquals("clerk \"u\" \u4e16", consumer.get("name"));
        assertEquals(1L, consumer.get("waiting"));
        assertTrue(consumer.containsKey("out") && consumer.get("out") == null);
    }
}
