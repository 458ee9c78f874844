/*
 * The registry tutorial: changes of a public registry are worked on by sixteen workers, those of one record in order,
 * and each is acknowledged by the commit of its work.
 *
 * Usage: Registry [DIRECTORY [RECORDS [FILE...]]]
 *
 * The files are those of the Debian package ieee-data: a record a line, its key in the second column; RECORDS is how many
 * are taken, 0 for all. Each becomes a notice in the queue `feed`, and some that must not matter are thrown in: notices
 * that come twice, versions that are out of date, and a few that nobody can read. A worker builds what a notice asks for
 * in 10 ms and puts it into the queue `replica`. Every second one of them dies in the middle of it, and for a while what
 * they build for is down. At the end the replica is what one worker alone would have made. Stop the program wherever
 * you like and run it again: it goes on.
 */

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import repliq.Consumer;
import repliq.Message;
import repliq.Place;
import repliq.Queue;
import repliq.RepliqException;
import repliq.Session;
import repliq.Snapshot;
import repliq.Store;
import repliq.Token;

final class Registry {
    private static final int WORKERS = 16;
    private static final long BUILD_MS = 10;
    /** When what the workers build for is down, behind the start. */
    private static final long DOWN_FROM_MS = 500;
    private static final long DOWN_TO_MS = 1_500;
    private static final List<String> FILES = List.of("iab.csv", "mam.csv", "oui.csv", "oui36.csv");

    /** The key of a record, and what is to be done with it: a version, a blank and the record. Bytes as Latin-1. */
    private static final class Notice {
        final String key;
        final String payload;

        Notice(String key, String payload) {
            this.key = key;
            this.payload = payload;
        }
    }

    /** The records of a file: quotes may hold commas and ends of lines, and the first line is the title. */
    private static List<Notice> records(Path file) throws IOException {
        String text = Files.readString(file, StandardCharsets.ISO_8859_1);
        List<Notice> found = new ArrayList<>();
        boolean quoted = false;
        for (int at = 0, start = 0; at < text.length(); at++) {
            quoted ^= text.charAt(at) == '"';
            if (text.charAt(at) == '\n' && !quoted) {
                String record = text.substring(start, at).stripTrailing();
                String[] columns = record.split(",", 3);
                found.add(new Notice(columns.length > 1 ? columns[1] : "", record));
                start = at + 1;
            }
        }
        return found.isEmpty() ? found : found.subList(1, found.size());
    }

    /** Notices of all records, with what must not matter thrown in; and what the replica is in the end. */
    private static List<Notice> notices(List<Notice> records, Map<String, String> expected) {
        List<Notice> notices = new ArrayList<>();
        Map<String, Long> versions = new HashMap<>();
        for (int at = 0; at < records.size(); at++) {
            String key = records.get(at).key;
            long version = versions.merge(key, 2L, Long::sum);
            Notice notice = new Notice(key, version + " " + records.get(at).payload);
            notices.add(notice);
            if (at % 5 == 0) {
                notices.add(notice);
            }
            if (at % 7 == 0) {
                notices.add(new Notice(key, (version - 1) + " out of date"));
            }
            if (at % 400 == 399) {
                notices.add(new Notice(key, "damaged"));
            }
            expected.put(key, notice.payload);
        }
        return notices;
    }

    private static String latin(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    /** The version at the beginning of a payload; 0 where there is none. */
    private static long version(String payload) {
        int end = payload.indexOf(' ');
        return end > 0 && payload.charAt(0) <= '9' ? Long.parseLong(payload.substring(0, end)) : 0;
    }

    private static Message.Builder message(Notice notice) {
        return Message.builder(notice.payload.getBytes(StandardCharsets.ISO_8859_1))
            .key(notice.key.getBytes(StandardCharsets.ISO_8859_1));
    }

    // ANCHOR: feed
    /** Puts all notices in one transaction; or none, where an earlier run did it, which the producer's numbers tell. */
    private static Token feed(Store store, Queue queue, List<Notice> notices) {
        int count = notices.size();
        try {
            // Where it is there already nothing is put, and this is the token of then.
            return queue.put(message(notices.get(count - 1)).producer("registry", count).build()).token();
        } catch (RepliqException.OutOfOrder fresh) {
            try (Session session = store.session()) {
                for (int at = 0; at < count; at++) {
                    session.put(queue, message(notices.get(at)).producer("registry", at + 1).build());
                }
                return session.commit().token();
            }
        }
    }
    // ANCHOR_END: feed

    private final Store store;
    private final Queue feed;
    private final Queue replica;
    private final Queue dead;
    private final long begun = System.nanoTime();
    /** By key, the version that the replica has. */
    private final Map<String, Long> versions = new ConcurrentHashMap<>();
    /** One worker more that dies. */
    private final AtomicBoolean kill = new AtomicBoolean();
    private volatile boolean over;
    private volatile RuntimeException failure;
    private final AtomicInteger done = new AtomicInteger();
    private final AtomicInteger known = new AtomicInteger();
    private final AtomicInteger inFlight = new AtomicInteger();
    private final AtomicInteger retried = new AtomicInteger();
    private final AtomicInteger killed = new AtomicInteger();

    private Registry(Store store) {
        this.store = store;
        feed = store.queue("feed");
        replica = store.queue("replica");
        dead = store.queue("dead");
        // What an earlier run has done counts.
        each(replica, one -> versions.put(latin(one.key()), version(latin(one.payload()))));
    }

    // ANCHOR: consumer
    /** A worker's consumer: it shares its place in the feed with the others, and one key is worked on at a time. */
    private Consumer consumer() {
        return store.consumer("worker", feed, options -> options.shared(true).keyed(true)
            .retryDelay(Duration.ofMillis(50)).retryMultiplier(2).retryDelayMax(Duration.ofMillis(500))
            .maxDeliveries(20).deadLetters(dead));
    }
    // ANCHOR_END: consumer

    /** Works until there is nothing more to do, or until it dies. */
    private void work() throws InterruptedException {
        // What a worker has when it dies goes to the others, as its session and its consumer are closed.
        try (Consumer consumer = consumer(); Session session = store.session()) {
            while (!over) {
                for (Message notice : session.receive(consumer, 1, Duration.ofMillis(100))) {
                    inFlight.incrementAndGet();
                    boolean lives = one(consumer, session, notice);
                    inFlight.decrementAndGet();
                    if (!lives) {
                        return;
                    }
                }
            }
        }
    }

    // ANCHOR: work
    /** Works on one notice; false where the worker dies in the middle of it. */
    private boolean one(Consumer consumer, Session session, Message notice) throws InterruptedException {
        long version = version(latin(notice.payload()));
        if (version == 0) {
            fail(consumer, session, notice, Duration.ofMillis(1), "this is no notice");
            return true;
        }
        String key = latin(notice.key());
        if (version <= versions.getOrDefault(key, 0L)) {
            // Already processed, or out of date: nothing to do, and so it is done.
            session.commit();
            known.incrementAndGet();
            return true;
        }
        Thread.sleep(BUILD_MS);
        if (kill.getAndSet(false)) {
            killed.incrementAndGet();
            return false;
        }
        long since = (System.nanoTime() - begun) / 1_000_000;
        if (since >= DOWN_FROM_MS && since < DOWN_TO_MS) {
            fail(consumer, session, notice, Duration.ZERO, "the replica is down");
            return true;
        }
        session.put(replica, Message.builder(notice.view()).key(notice.key()).build());
        // Nobody else looks at this key before the commit: until then it is this worker's.
        versions.put(key, version);
        session.commit();
        done.incrementAndGet();
        return true;
    }

    /** Gives a notice back, for later; after twenty times it is a dead letter, with the reason. */
    private void fail(Consumer consumer, Session session, Message notice, Duration delay, String reason) {
        retried.incrementAndGet();
        consumer.reject(List.of(notice), delay, reason);
        session.rollback();
    }
    // ANCHOR_END: work

    /** Works, and when the worker has died another takes its place. */
    private void run() {
        try {
            while (!over) {
                work();
            }
        } catch (RuntimeException error) {
            failure = error;
        } catch (InterruptedException nobody) {
            Thread.currentThread().interrupt();
        }
    }

    /** All that is in a queue, in order. */
    private int each(Queue queue, java.util.function.Consumer<Message> see) {
        int count = 0;
        try (Snapshot snapshot = store.snapshot()) {
            long next = 1;
            for (List<Message> page; !(page = snapshot.browse(queue, next, 1_000)).isEmpty();) {
                page.forEach(see);
                count += page.size();
                next = page.get(page.size() - 1).sequence() + 1;
            }
        }
        return count;
    }

    /** Kills a worker a second until all is done, and shows a line of the table, which only a terminal gets. */
    private void await(Token token) throws InterruptedException {
        try (Consumer undertaker = store.consumer("undertaker", dead)) {
            int letters = 0;
            int before = 0;
            long last = begun;
            for (int turn = 1; failure == null; turn++) {
                Thread.sleep(250);
                letters += undertaker.receive(1_000, Duration.ZERO).size();
                int through = done.get() + known.get();
                long now = System.nanoTime();
                if (System.console() != null) {
                    System.out.printf(Locale.ROOT,
                        "\rdone %7d   %6.0f/s   in flight %2d   retried %5d   dead %4d   killed %3d",
                        through, (through - before) * 1e9 / (now - last), inFlight.get(), retried.get(), letters,
                        killed.get());
                }
                before = through;
                last = now;
                if (turn % 4 == 0) {
                    kill.set(true);
                }
                try {
                    store.await(token, Place.consumer("worker"), Duration.ZERO);
                    return;
                } catch (RepliqException.Timeout more) {
                    // Some are still waiting, or being worked on.
                }
            }
        }
        throw failure;
    }

    /** Says what was done, and looks whether the replica is what one worker alone would have made. */
    private boolean report(List<Notice> notices, Map<String, String> expected) {
        if (System.console() != null) {
            System.out.println();
        }
        System.out.printf(Locale.ROOT, "%d built and %d already processed in %.1f s, %d retried, %d workers killed%n",
            done.get(), known.get(), (System.nanoTime() - begun) / 1e9, retried.get(), killed.get());
        Map<String, String> made = new HashMap<>();
        int[] wrong = {0};
        each(replica, one -> {
            String payload = latin(one.payload());
            String before = made.put(latin(one.key()), payload);
            wrong[0] += before != null && version(payload) <= version(before) ? 1 : 0;
        });
        int letters = each(dead, one -> {});
        System.out.printf("%d notices of %d records, %d dead letters%n", notices.size(), made.size(), letters);
        if (wrong[0] > 0 || !made.equals(expected)) {
            System.err.printf("the replica differs, and %d came out of order%n", wrong[0]);
            return false;
        }
        System.out.println("the replica is what one worker alone would have made");
        return true;
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        String directory = args.length > 0 ? args[0] : "registry_store";
        int count = args.length > 1 ? Integer.parseInt(args[1]) : 0;
        List<Path> files = new ArrayList<>();
        for (String file : args.length > 2 ? Arrays.asList(args).subList(2, args.length) : FILES) {
            files.add(args.length > 2 ? Path.of(file) : Path.of("/usr/share/ieee-data", file));
        }
        List<Notice> records = new ArrayList<>();
        for (Path file : files) {
            records.addAll(records(file));
        }
        if (records.isEmpty()) {
            System.err.println("there are no records in the files");
            System.exit(1);
        }
        Map<String, String> expected = new HashMap<>();
        List<Notice> notices =
            notices(count == 0 ? records : records.subList(0, Math.min(count, records.size())), expected);
        boolean right;
        try (Store store = Store.open(directory)) {
            Registry registry = new Registry(store);
            try (Consumer first = registry.consumer()) {
                Token token = feed(store, registry.feed, notices);
                List<Thread> workers = new ArrayList<>();
                for (int worker = 0; worker < WORKERS; worker++) {
                    workers.add(new Thread(registry::run));
                }
                workers.forEach(Thread::start);
                try {
                    registry.await(token);
                } finally {
                    registry.over = true;
                    for (Thread worker : workers) {
                        worker.join();
                    }
                }
            }
            right = registry.report(notices, expected);
        }
        if (!right) {
            System.exit(1);
        }
    }
}
