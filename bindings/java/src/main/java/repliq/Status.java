package repliq;

import java.util.Map;

/**
 * What a store, a server or a replication is and has, as it was when it was asked.
 *
 * <p>It is the same JSON in every language; {@link #values} has it taken apart:
 *
 * <pre>{@code
 * for (Object queue : (List<?>) store.status().values().get("queues")) {
 *     System.out.println(((Map<?, ?>) queue).get("name"));
 * }
 * }</pre>
 */
public final class Status {
    private final String text;
    private final Map<String, Object> values;

    Status(String text) {
        this.text = text;
        values = new Json(text).object();
    }

    /**
     * The JSON.
     *
     * @return an object
     */
    public String text() {
        return text;
    }

    /**
     * The members of the object by name: texts are {@code String}, whole numbers {@code Long}, others {@code Double}, yes and
     * no {@code Boolean}, lists {@code List}, objects {@code Map<String, Object>}; what is not known is null.
     *
     * @return maps and lists that cannot be changed
     */
    public Map<String, Object> values() {
        return values;
    }

    @Override
    public String toString() {
        return text;
    }
}
