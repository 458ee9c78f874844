package repliq;

import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Programs that end badly, each a JVM of its own for LuckTest. */
final class Victim {
    private static final int THREADS = 3;
    /** What must not be collected: it is open when the JVM ends. */
    private static final List<Object> OPEN = new ArrayList<>();

    private Victim() {}

    public static void main(String[] arguments) throws Exception {
        Path dir = Path.of(arguments[0]);
        switch (arguments[1]) {
            case "return":
                everything(dir);
                return;
            case "exit":
                everything(dir);
                System.exit(7);
                return;
            case "throw":
                everything(dir);
                throw new IllegalStateException("nobody catches this");
            case "halt":
                everything(dir);
                Runtime.getRuntime().halt(8);
                return;
            case "forget":
                forget(dir, arguments[2], Integer.parseInt(arguments[3]));
                return;
            case "starved":
                starved(dir);
                return;
            case "stuck":
                stuck(dir);
                return;
            case "large":
                large(dir);
                return;
            case "receive":
                receive(dir, Integer.parseInt(arguments[2]));
                return;
            default:
                handle(dir, Integer.parseInt(arguments[2]));
        }
    }

    /** Opens one of each kind, with calls that wait and threads that put. */
    private static void everything(Path dir) throws Exception {
        Store store = Store.open(dir.resolve("store"));
        Queue queue = store.queue("orders");
        Queue quiet = store.queue("quiet");
        Server server = new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(User.of("u", "p")));
        Replication replication = new Replication(store.queue("root"));
        replication.add("away", "repliq://u@127.0.0.1:9", o -> o.plain(true).password("p"));
        replication.send(1, new byte[1]);
        Session session = store.session();
        session.put(queue, "not committed".getBytes());
        Snapshot snapshot = store.snapshot();
        Port port = Port.open();
        Consumer consumer = store.consumer("clerk", quiet);
        Listener listener = store.consumer("listener", queue).listen((lent, message) -> lent.put(quiet, message));
        OPEN.addAll(List.of(store, server, replication, session, snapshot, port, consumer, listener));
        daemon(() -> consumer.receive(1));
        daemon(() -> port.drain(1, Duration.ofHours(1)));
        daemon(() -> store.await(queue.put("1".getBytes()).token(), Place.TARGETS));
        OPEN.add(queue.putAsync("2".getBytes()));
        CountDownLatch running = new CountDownLatch(THREADS);
        for (int at = 0; at < THREADS; at++) {
            int number = at;
            daemon(() -> put(dir.resolve("confirmed" + number), queue, number, running));
        }
        running.await();
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    /** Puts for ever, and writes into a file how many puts were confirmed. */
    private static void put(Path file, Queue queue, int number, CountDownLatch running) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            for (long count = 1;; count++) {
                Message message = Message.of(number + ":" + count);
                if (number == 0) {
                    queue.put(message, Level.PROCESS);
                } else if (number == 1) {
                    queue.put(message);
                } else {
                    queue.putAsync(message).join();
                }
                channel.write(ByteBuffer.allocate(8).putLong(0, count), 0);
                if (count == 20) {
                    running.countDown();
                }
            }
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    /** Forgets one of each kind again and again on many threads, while the JVM ends: the cleaner is in the middle of it. */
    private static void forget(Path dir, String how, int milliseconds) throws Exception {
        everything(dir);
        Store store = (Store) OPEN.get(0);
        Queue quiet = store.queue("quiet");
        for (int at = 0; at < THREADS; at++) {
            int number = at;
            daemon(() -> {
                for (int count = 0;; count++) {
                    forgotten(dir, store, quiet, number + "." + count % 50);
                    if (count % 20 == 0) {
                        System.gc();
                    }
                }
            });
        }
        Thread.sleep(milliseconds);
        // Those of main are forgotten, too.
        OPEN.clear();
        if (how.equals("exit")) {
            Runtime.getRuntime().addShutdownHook(new Thread(System::gc));
            System.exit(7);
        } else if (how.equals("handler")) {
            store.queue("last").put("last".getBytes());
            store.consumer("last", store.queue("last")).listen((session, message) -> System.exit(7));
            new CountDownLatch(1).await();
        } else if (how.equals("future")) {
            store.queue("last").putAsync("last".getBytes()).thenRun(() -> System.exit(7));
            new CountDownLatch(1).await();
        } else if (how.equals("halt")) {
            Runtime.getRuntime().halt(8);
        }
    }

    private static void forgotten(Path dir, Store store, Queue quiet, String name) {
        try {
            Session session = store.session();
            session.put(quiet, "forgotten".getBytes());
            store.snapshot();
            Port port = Port.open();
            quiet.putStart(List.of(Message.of("f")), port, 1);
            store.awaitAsync(quiet.put(Message.of("f"), Level.PROCESS).token(), Place.TARGETS);
            store.consumer("f" + name, quiet).listen((lent, message) -> { });
            store.consumer("g" + name, quiet).receive(3, Duration.ZERO);
            Store other = Store.open(dir.resolve("other" + name));
            other.queue("q").putAsync(Message.of("f"));
            new Replication(other.queue("root"));
        } catch (RepliqException.Busy | RepliqException.Locked | RepliqException.Quota error) {
            // The one of the round before is not collected yet.
            Thread.yield();
        }
    }

    /** Futures end in a JVM that has no memory left for a while: well, or with an outcome that is not known. */
    private static void starved(Path dir) throws Exception {
        long[] ends = new long[2];
        try (Store store = Store.open(dir.resolve("store"))) {
            Queue queue = store.queue("orders");
            for (int round = 0; round < 10; round++) {
                List<CompletableFuture<Commit>> futures = new ArrayList<>();
                Object[] hoard = new Object[1 << 16];
                fill(hoard, () -> futures.add(queue.putAsync("1".getBytes())));
                Thread.sleep(50);
                java.util.Arrays.fill(hoard, null);
                for (CompletableFuture<Commit> one : futures) {
                    try {
                        one.get(60, java.util.concurrent.TimeUnit.SECONDS);
                        ends[0]++;
                    } catch (java.util.concurrent.ExecutionException error) {
                        if (((RepliqException) error.getCause()).code() != Code.OUTCOME_UNKNOWN) {
                            throw error;
                        }
                        ends[1]++;
                    }
                }
            }
        }
        System.out.println("ended " + ends[0] + " unknown " + ends[1]);
    }

    /** Fills the heap while futures are under way, first with large pieces, then with small ones. */
    private static void fill(Object[] hoard, Runnable start) {
        int size = 1 << 20;
        for (int at = 0; at < hoard.length && size >= 64; ) {
            try {
                if (size == 1 << 20) {
                    for (int more = 0; more < 20; more++) {
                        start.run();
                    }
                }
                hoard[at] = new byte[size];
                at++;
            } catch (OutOfMemoryError error) {
                size /= 2;
            }
        }
    }

    /** A handler that never returns: everything can be closed, and the JVM ends. */
    private static void stuck(Path dir) throws Exception {
        Store store = Store.open(dir.resolve("store"));
        Queue queue = store.queue("orders");
        queue.put("1".getBytes());
        CountDownLatch inside = new CountDownLatch(1);
        Listener listener = store.consumer("clerk", queue).listen((session, message) -> {
            session.put(queue, "never".getBytes());
            inside.countDown();
            new CountDownLatch(1).await();
        });
        inside.await();
        try {
            listener.close(Duration.ofMillis(100));
        } catch (RepliqException.Timeout error) {
            System.out.println("late");
        }
        store.close();
        try (Store again = Store.open(dir.resolve("store"))) {
            System.out.println("again " + again.queue("orders").number());
        }
    }

    /** A transaction that does not fit into the heap, for a handler of whole transactions. */
    private static void large(Path dir) throws Exception {
        try (Store store = Store.open(dir.resolve("store")); Session session = store.session()) {
            Queue queue = store.queue("orders");
            byte[] payload = new byte[6 << 20];
            for (int at = 0; at < 9; at++) {
                session.put(queue, payload);
            }
            session.commit();
            Listener listener = store.consumer("clerk", queue).listenJobs(
                (lent, messages) -> System.out.println("fits"), o -> o.retry(Duration.ofMillis(1)));
            while (listener.status().failed() < 3) {
                Thread.sleep(5);
            }
            listener.close();
            System.out.println("failed");
        }
    }

    /** Receives one message again and again, in a small heap. */
    private static void receive(Path dir, int times) {
        try (Store store = Store.open(dir.resolve("store")); Session session = store.session()) {
            Queue queue = store.queue("orders");
            List<Message> all = new ArrayList<>();
            for (int at = 0; at < 1000; at++) {
                all.add(Message.builder("payload " + at).key("key").header("name", "value").build());
            }
            queue.putMany(all);
            Consumer consumer = store.consumer("clerk", queue);
            long settled = 0;
            for (int done = 0; done < times; ) {
                consumer.seek(1);
                for (int at = 0; at < 1000; at++, done++) {
                    Message one = consumer.receive(1, Duration.ZERO).get(0);
                    if (one.sequence() != at + 1 || one.view().remaining() != one.payload().length) {
                        throw new IllegalStateException("message " + at + " is " + one.sequence());
                    }
                    session.put(queue, one);
                }
                session.rollback();
                settled = done <= times / 2 ? resident() : settled;
            }
            grown(settled);
        }
    }

    /** Lets a handler of a listener run again and again. */
    private static void handle(Path dir, int times) throws Exception {
        AtomicLong handled = new AtomicLong();
        try (Store store = Store.open(dir.resolve("store"), o -> o.level(Level.PROCESS))) {
            Queue queue = store.queue("orders");
            CountDownLatch half = new CountDownLatch(1);
            CountDownLatch all = new CountDownLatch(1);
            for (int at = 0; at < times; at += 1000) {
                queue.putMany(java.util.Collections.nCopies(1000, Message.of(new byte[1024])));
            }
            Listener listener = store.consumer("clerk", queue).listen((session, message) -> {
                long count = handled.incrementAndGet();
                if (count == times / 2) {
                    half.countDown();
                } else if (count == times) {
                    all.countDown();
                }
            });
            half.await();
            long settled = resident();
            all.await();
            listener.close();
            grown(settled);
        }
    }

    /** Complains when the process got larger than it was. */
    private static void grown(long settled) {
        long now = resident();
        System.out.println("done " + settled + " " + now);
        if (now > settled + (48 << 10)) {
            throw new IllegalStateException("the process grew from " + settled + " to " + now + " KiB");
        }
    }

    /** What the process has in memory, in KiB. */
    private static long resident() {
        try {
            return java.nio.file.Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("RssAnon:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", ""))).findFirst().orElse(0);
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }
}
