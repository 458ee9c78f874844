package repliq;

import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A program that gives passwords as arrays, wipes them as it should, and dumps its heap; for SecretsTest. */
final class Passwords {
    /** Found by the search, so that it is known to find. */
    private static final List<Object> KEPT = new ArrayList<>();

    private Passwords() {}

    /** A password of 24 characters that stands in no constant; the number tells several apart. */
    static char[] password(int number) {
        char[] made = new char[24];
        for (int at = 0; at < made.length; at++) {
            made[at] = (char) ('A' + (at * 7 + number * 11 + at * at % 5) % 58);
        }
        return made;
    }

    private static byte[] bytes(int number) {
        char[] from = password(number);
        byte[] made = new byte[from.length];
        for (int at = 0; at < made.length; at++) {
            made[at] = (byte) from[at];
        }
        Arrays.fill(from, 'x');
        return made;
    }

    private interface Use {
        void with(char[] password) throws Exception;
    }

    /** Wipes what is the caller's. */
    private static void use(int number, Use use) throws Exception {
        char[] password = password(number);
        try {
            use.with(password);
        } finally {
            Arrays.fill(password, 'x');
        }
    }

    private static void refused(Runnable call) {
        try {
            call.run();
        } catch (RepliqException error) {
            return;
        }
        throw new IllegalStateException("was not refused");
    }

    public static void main(String[] arguments) throws Exception {
        Path dir = Path.of(arguments[0]);
        byte[] first = bytes(1);
        Store opened = Store.open(dir.resolve("store"), o -> o.password(first));
        Arrays.fill(first, (byte) 'x');
        use(2, opened::changePassword);
        opened.close();
        use(3, wrong -> refused(() -> Store.open(dir.resolve("store"), o -> o.password(wrong))));
        // Two passwords in one call, and options that fail behind one.
        use(4, other -> use(2, right -> Store.open(dir.resolve("store"), o -> o.password(other).password(right)).close()));
        use(5, lost -> refused(() -> Store.open(dir.resolve("store"), o -> o.password(lost).keepBytes(-1))));
        try (Store store = Store.open(dir.resolve("plain"))) {
            use(6, password -> new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(User.of("u", password))).close());
            use(7, password -> new Replication(store.queue("root")).add("away", "repliq://u@127.0.0.1:9",
                o -> o.plain(true).password(password)));
            byte[] eighth = bytes(8);
            new Replication(store.queue("other")).add("away", "repliq://u@127.0.0.1:9", o -> o.plain(true).password(eighth));
            Arrays.fill(eighth, (byte) 'x');
        }
        KEPT.add(password(20));
        KEPT.add(bytes(21));
        Object bean = ManagementFactory.getPlatformMBeanServer().invoke(
            new javax.management.ObjectName("com.sun.management:type=HotSpotDiagnostic"), "dumpHeap",
            new Object[] {dir.resolve("heap.hprof").toString(), false}, new String[] {"java.lang.String", "boolean"});
        System.out.println("dumped " + bean);
    }
}
