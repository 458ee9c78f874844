package repliq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Rows of the scenarios of sessions that somebody sees in Java. */
class TxsTest {
    private static final int MESSAGES = 60;

    @TempDir Path dir;

    @Test
    void txs05_a_worker_killed_at_any_point_consumes_and_produces_both_or_neither() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        List<String> done = new ArrayList<>();
        List<Message> work = new ArrayList<>();
        for (int at = 0; at < MESSAGES; at++) {
            work.add(Message.of(Integer.toString(at)));
            done.add("did " + at);
        }
        try (Served served = new Served(dir, "--plain"); Store store = served.open()) {
            store.queue("in").putMany(work);
            for (String step : List.of("received", "put", "started", "committed", "any time", "any time", "any time")) {
                worker(served.url(), step, random);
            }
            assertEquals("end", worker(served.url(), "to the end", random));
            assertEquals(done, RemoteTest.browse(store, "out"), "seed " + seed);
        }
        String here = dir.resolve("here").toString();
        try (Store store = Store.open(here)) {
            store.queue("in").putMany(work);
        }
        for (String step : List.of("received", "put", "started", "committed", "any time")) {
            worker(here, step, random);
        }
        assertEquals("end", worker(here, "to the end", random));
        try (Store store = Store.open(here)) {
            assertEquals(done, RemoteTest.browse(store, "out"), "seed " + seed);
        }
    }

    /** The last word of a worker that was killed at this step. */
    private static String worker(String place, String step, Random random) throws Exception {
        List<String> folders = new ArrayList<>();
        for (Class<?> one : List.of(Store.class, Worker.class)) {
            folders.add(Path.of(one.getProtectionDomain().getCodeSource().getLocation().toURI()).toString());
        }
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx48m", "-cp", String.join(File.pathSeparator, folders), Worker.class.getName(), place, step)
            .redirectErrorStream(true).start();
        int ready = process.getInputStream().read();
        assertEquals('r', ready, () -> step + rest(process));
        if (step.equals("any time")) {
            TimeUnit.MICROSECONDS.sleep(random.nextInt(30_000));
            process.destroyForcibly();
            process.waitFor();
            return "";
        }
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return said.substring(said.lastIndexOf(' ') + 1).trim();
    }

    private static String rest(Process process) {
        try {
            return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException error) {
            return error.toString();
        }
    }

    /** A program that consumes, transforms and produces. */
    static final class Worker {
        private Worker() {}

        public static void main(String[] arguments) throws Exception {
            String place = arguments[0];
            String step = arguments[1];
            Store store = null;
            Consumer clerk = null;
            while (clerk == null) {
                try {
                    boolean served = place.startsWith("repliq:");
                    store = store != null ? store : Store.open(place, o -> {
                        if (served) {
                            o.plain(true).password(Served.PASSWORD);
                        }
                    });
                    clerk = store.consumer("clerk", store.queue("in"));
                } catch (RepliqException.Busy | RepliqException.Locked error) {
                    TimeUnit.MILLISECONDS.sleep(10);
                }
            }
            Queue target = store.queue("out");
            Session session = store.session();
            System.out.print("r ");
            System.out.flush();
            for (int turn = 0;; turn++) {
                List<Message> batch = session.receive(clerk, 3, Duration.ofMillis(300));
                if (batch.isEmpty()) {
                    break;
                }
                die(step, "received", turn);
                for (Message one : batch) {
                    session.put(target, ("did " + one.text()).getBytes(StandardCharsets.UTF_8));
                }
                die(step, "put", turn);
                if (step.equals("started") && turn == 2) {
                    session.commitAsync();
                    die(step, "started", turn);
                }
                session.commit();
                die(step, "committed", turn);
            }
            System.out.print("end");
            System.out.flush();
        }

        private static void die(String step, String here, int turn) {
            if (step.equals(here) && turn == 2) {
                Runtime.getRuntime().halt(9);
            }
        }
    }

    @Test
    void txs08_a_transaction_above_its_bound_can_only_be_rolled_back() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store there = served.open();
                Store here = Store.open(dir.resolve("here"))) {
            for (Store store : List.of(there, here)) {
                Queue queue = store.queue("orders");
                try (Session session = store.session(o -> o.bytesMax(1000))) {
                    session.put(queue, new byte[800]);
                    Fixture.refused(Code.QUOTA, () -> session.put(queue, new byte[800]));
                    Fixture.refused(Code.ROLLBACK_ONLY, () -> session.put(queue, new byte[1]));
                    Fixture.refused(Code.ROLLED_BACK, session::commit);
                    session.put(queue, "2".getBytes());
                    session.commit();
                }
                assertEquals(List.of("2"), RemoteTest.browse(store, "orders"));
            }
        }
    }

    @Test
    void txs13_a_server_that_is_killed_rolls_back_and_everything_goes_on_with_the_next_one() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.open()) {
            Queue queue = store.queue("orders");
            queue.putMany(List.of(Message.of("1"), Message.of("2")));
            Consumer clerk = store.consumer("clerk", queue);
            Session session = store.session();
            TransactionId id = session.id();
            assertEquals(2, session.receive(clerk, 2, Fixture.LONG).size());
            session.put(queue, "never".getBytes());
            served.kill();
            served.start();
            Fixture.refused(Code.ROLLED_BACK, () -> {
                for (int at = 0; at < 1000; at++) {
                    session.put(queue, new byte[70_000]);
                }
            });
            assertEquals(List.of("1", "2"), RemoteTest.texts(session.receive(clerk, 2, Fixture.LONG)));
            session.put(queue, "3".getBytes());
            session.commit();
            assertTrue(Arrays.equals(id.session(), session.id().session()));
            assertEquals(Outcome.State.EXPIRED, store.resolve(id).state());
            assertEquals(List.of("3"), RemoteTest.texts(clerk.receive(9, Fixture.LONG)));
        }
    }

    @Test
    void txs19_a_commit_without_an_answer_is_unknown_and_resolve_is_what_readers_see() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store other = served.openPatiently();
                Store store = Store.open(served.url(), o -> o.plain(true).password(Served.PASSWORD)
                    .heartbeat(Duration.ofSeconds(20)).connectTimeout(Duration.ofSeconds(5)))) {
            Queue queue = store.queue("orders");
            Session session = store.session();
            TransactionId id = session.id();
            session.put(queue, "1".getBytes());
            served.stop();
            RepliqException error = Fixture.refused(Code.OUTCOME_UNKNOWN, session::commit);
            assertTrue(error.getMessage().contains(id.text()), error.getMessage());
            served.goOn();
            Outcome outcome = other.resolve(id);
            List<String> seen = RemoteTest.browse(other, "orders");
            assertEquals(outcome.state() == Outcome.State.COMMITTED ? List.of("1") : List.of(), seen);
            TimeUnit.MILLISECONDS.sleep(300);
            assertEquals(outcome, other.resolve(id));
            assertEquals(seen, RemoteTest.browse(other, "orders"));
            session.put(queue, "2".getBytes());
            session.commit();
        }
    }

    @Test
    void txs20_a_second_thread_in_a_session_is_busy_and_the_first_is_unharmed() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.openPatiently()) {
            Queue queue = store.queue("orders");
            Consumer clerk = store.consumer("clerk", queue);
            Session session = store.session();
            session.put(queue, "1".getBytes());
            AtomicReference<Object> ended = new AtomicReference<>();
            Thread thread = new Thread(() -> {
                try {
                    ended.set(session.commit());
                } catch (RepliqException error) {
                    ended.set(error);
                }
            });
            served.stop();
            thread.start();
            TimeUnit.MILLISECONDS.sleep(100);
            Fixture.refused(Code.BUSY, () -> session.put(queue, new byte[1]));
            Fixture.refused(Code.BUSY, () -> session.receive(clerk, 1, Fixture.NONE));
            Fixture.refused(Code.BUSY, session::commit);
            Fixture.refused(Code.BUSY, session::rollback);
            Fixture.refused(Code.BUSY, session::id);
            Fixture.refused(Code.BUSY, session::close);
            served.goOn();
            thread.join(30_000);
            assertTrue(ended.get() instanceof Commit, () -> "" + ended.get());
            assertEquals(List.of("1"), RemoteTest.browse(store, "orders"));
        }
    }

    @Test
    void txs25_a_session_with_a_name_is_open_once_and_can_be_taken_over() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store there = served.open();
                Store here = Store.open(dir.resolve("here"))) {
            for (Store store : List.of(there, here)) {
                Queue queue = store.queue("orders");
                Session mine = store.session(o -> o.name("mover"));
                TransactionId before = mine.id();
                mine.put(queue, "never".getBytes());
                Fixture.refused(Code.EXISTS, () -> store.session(o -> o.name("mover")));
                Session theirs = store.session(o -> o.name("mover").takeover(true).level(Level.POWER));
                Fixture.refused(Code.FENCED, mine::commit);
                assertEquals(before.epoch() + 1, theirs.id().epoch());
                theirs.put(queue, "theirs".getBytes());
                theirs.commit();
                theirs.close();
                mine.close();
                assertEquals(List.of("theirs"), RemoteTest.browse(store, "orders"));
            }
        }
    }

    @Test
    void txs29_a_transaction_that_gets_no_call_is_rolled_back() throws Exception {
        try (Served served = new Served(dir, "--plain"); Store store = served.open()) {
            Queue queue = store.queue("orders");
            queue.put("1".getBytes());
            Consumer reader = store.consumer("reader", queue);
            try (Session session = store.session(o -> o.idle(Duration.ofMillis(300)))) {
                assertEquals(1, session.receive(reader, 1, Fixture.LONG).size());
                List<Message> again = reader.receive(1, Fixture.LONG);
                assertEquals(2, again.get(0).deliveries());
                Fixture.refused(Code.ROLLED_BACK, session::commit);
                session.put(queue, "2".getBytes());
                session.commit();
            }
            assertEquals(List.of("1", "2"), RemoteTest.browse(store, "orders"));
            Fixture.refused(Code.INVALID, () -> store.session(o -> o.idle(Duration.ofDays(100))));
        }
    }
}
