package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Passwords given as arrays leave nothing in the heap of the JVM. */
class SecretsTest {
    @TempDir Path dir;

    @Test
    void what_was_given_as_an_array_is_nowhere_in_the_heap_behind_the_call() throws Exception {
        Child.run(dir, 0, Passwords.class, Map.of());
        String heap = Files.readString(dir.resolve("heap.hprof"), StandardCharsets.ISO_8859_1);
        Set<Integer> found = new TreeSet<>();
        for (int number = 1; number <= 21; number++) {
            String password = new String(Passwords.password(number));
            String wide = new String(password.getBytes(StandardCharsets.UTF_16BE), StandardCharsets.ISO_8859_1);
            // A part of it says enough.
            if (heap.contains(password.substring(4, 20)) || heap.contains(wide.substring(8, 40))) {
                found.add(number);
            }
        }
        assertEquals(Set.of(20, 21), found);
    }

    @Test
    void a_user_whose_password_was_wiped_is_not_given_to_a_second_server() {
        User user = User.of("u", "p");
        try (Store store = Store.open(dir.resolve("store"))) {
            new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(user)).close();
            RepliqException error = Fixture.refused(Code.INVALID,
                () -> new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(user)));
            assertEquals(true, error.getMessage().contains("u"), error.getMessage());
        }
    }
}
