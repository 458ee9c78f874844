package repliq;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.bytes.SyncMode;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.wire.DocumentContext;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksDBException;
import org.rocksdb.WriteBatch;
import org.rocksdb.WriteOptions;

/**
 * What Java costs: calls into an open session, and other stores at equal durability.
 *
 * <p>Usage: Speed FOLDER RUST. FOLDER is empty, RUST is the program rate; prints {@code name=value …} a line that
 * ends in {@code held=yes} or {@code held=no}, by the bound that it names. Exit status 1 where one did not hold. Each
 * figure is the median of some repetitions, and a ratio that of ratios of neighbours in time.
 */
public final class Speed {
    private static final int REPETITIONS = Integer.getInteger("repetitions", 7);
    private static final int ROUNDS = 200;
    private static final int CALLS = 1000;
    private static final int BATCH = 256;
    private static final int MESSAGES = BATCH * 200;
    private static final byte[] PAYLOAD = new byte[100];
    private static boolean missed;

    private Speed() {}

    private interface Work {
        void run() throws Exception;
    }

    /** Prints a line. */
    private static void line(String name, boolean held, Object... values) {
        missed |= !held;
        StringBuilder text = new StringBuilder("name=" + name);
        for (int at = 0; at < values.length; at += 2) {
            text.append(String.format(Locale.ROOT, " %s=%.2f", values[at], ((Number) values[at + 1]).doubleValue()));
        }
        System.out.println(text + " held=" + (held ? "yes" : "no"));
    }

    private static double median(List<Double> values) {
        Collections.sort(values);
        return values.get(values.size() / 2);
    }

    /** Nanoseconds of one of so many calls, at best. */
    private static double least(int calls, Work work, Work after) throws Exception {
        double least = Double.MAX_VALUE;
        for (int round = 0; round < ROUNDS; round++) {
            long began = System.nanoTime();
            work.run();
            least = Math.min(least, (System.nanoTime() - began) / (double) calls);
            after.run();
        }
        return least;
    }

    /** The same calls in Rust, one at a time. */
    private static final class Rust implements AutoCloseable {
        private final Process process;
        private final BufferedReader from;

        Rust(String program, Path folder) throws IOException {
            process = new ProcessBuilder(program, folder.toString()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            from = process.inputReader();
        }

        /** Nanoseconds of one of so many times 256 messages, at best. */
        double least(String name, int batches, int rounds) throws IOException {
            double least = Double.MAX_VALUE;
            for (int round = 0; round < rounds; round++) {
                process.getOutputStream().write((name + " " + batches + "\n").getBytes());
                process.getOutputStream().flush();
                least = Math.min(least, Double.parseDouble(from.readLine()));
            }
            return least;
        }

        @Override
        public void close() throws IOException {
            process.getOutputStream().close();
        }
    }

    /** The boundary, without the disk. */
    private static void calls(Path folder, String program) throws Exception {
        Map<String, List<Double>> figures = new HashMap<>();
        try (Store store = Store.open(folder.resolve("calls")); Session session = store.session();
                Rust rust = new Rust(program, folder.resolve("rust"))) {
            Queue queue = store.queue("orders");
            List<Message> batch = new ArrayList<>();
            for (int at = 0; at < BATCH; at++) {
                batch.add(Message.of(PAYLOAD));
            }
            for (int at = 0; at < MESSAGES / BATCH; at++) {
                queue.putMany(batch, Level.PROCESS);
            }
            queue.put(PAYLOAD);
            Consumer reader = store.consumer("reader", queue);
            ByteBuffer direct = ByteBuffer.allocateDirect(PAYLOAD.length);
            for (int repetition = 0; repetition <= REPETITIONS; repetition++) {
                Map<String, Double> now = new HashMap<>();
                for (String name : List.of("put", "put_many")) {
                    now.put(name, rust.least(name, 4, ROUNDS));
                }
                now.put("receive", rust.least("receive", MESSAGES / BATCH, 5));
                Map<String, Double> found = new HashMap<>();
                found.put("empty", least(CALLS, () -> {
                    for (int at = 0; at < CALLS; at++) {
                        Native.nothing(0);
                    }
                }, () -> {}));
                found.put("array", least(CALLS, () -> {
                    for (int at = 0; at < CALLS; at++) {
                        session.put(queue, PAYLOAD);
                    }
                }, session::rollback));
                found.put("direct", least(CALLS, () -> {
                    for (int at = 0; at < CALLS; at++) {
                        session.put(queue, direct);
                    }
                }, session::rollback));
                found.put("many", least(4 * BATCH, () -> {
                    for (int at = 0; at < 4; at++) {
                        session.putMany(queue, batch);
                    }
                }, session::rollback));
                found.put("receive", receive(reader, ByteBuffer.allocateDirect(256 * (256 + PAYLOAD.length))));
                found.put("receive_own", receive(reader, ByteBuffer.allocate(0)));
                found.put("rust_put", now.get("put"));
                found.put("rust_many", now.get("put_many"));
                found.put("rust_receive", now.get("receive"));
                found.put("rust_receive_own", now.get("receive"));
                found.put("many_ratio", now.get("put_many") / found.get("many"));
                found.put("receive_ratio", now.get("receive") / found.get("receive"));
                found.put("receive_own_ratio", now.get("receive") / found.get("receive_own"));
                found.put("over_array", found.get("array") - found.get("empty"));
                found.put("over_direct", found.get("direct") - found.get("empty"));
                found.put("border_array", found.get("over_array") - now.get("put"));
                found.put("border_direct", found.get("over_direct") - now.get("put"));
                // The first one warms up.
                if (repetition > 0) {
                    found.forEach((name, value) -> figures.computeIfAbsent(name, any -> new ArrayList<>()).add(value));
                }
            }
        }
        Map<String, Double> of = new HashMap<>();
        figures.forEach((name, values) -> of.put(name, median(values)));
        for (String kind : List.of("array", "direct")) {
            // The bound is on all of it; the border is what is left without what the put costs in Rust.
            double over = of.get("over_" + kind);
            line("put_" + kind, over <= 40, "java_ns", of.get(kind), "empty_call_ns", of.get("empty"), "over_ns", over,
                "most", 40, "rust_ns", of.get("rust_put"), "border_ns", of.get("border_" + kind));
        }
        for (String kind : List.of("many", "receive", "receive_own")) {
            double ratio = of.get(kind + "_ratio");
            line(kind.equals("many") ? "put_many" : kind, ratio >= 0.7, "java_ns", of.get(kind), "rust_ns",
                of.get("rust_" + kind), "ratio", ratio, "least", 0.7);
        }
    }

    /** Nanoseconds for a message with its view, at best: in this direct buffer, or in memory of its own. */
    private static double receive(Consumer reader, ByteBuffer room) {
        double best = Double.MAX_VALUE;
        for (int round = 0; round < 5; round++) {
            reader.seek(1);
            long began = System.nanoTime();
            long bytes = 0;
            for (int seen = 0; seen < MESSAGES; ) {
                List<Message> received = reader.receive(BATCH, Duration.ZERO, room);
                seen += received.size();
                for (Message one : received) {
                    bytes += one.view().remaining();
                }
            }
            best = Math.min(best, (System.nanoTime() - began) / (double) MESSAGES);
            if (bytes < (long) MESSAGES * PAYLOAD.length) {
                throw new IllegalStateException(bytes + " bytes");
            }
        }
        return best;
    }

    /** Messages in a second, for about a second. */
    private static double rate(Work work, int messages) throws Exception {
        long began = System.nanoTime();
        long done = 0;
        do {
            work.run();
            done += messages;
        } while (System.nanoTime() - began < 1_000_000_000L);
        return done * 1e9 / (System.nanoTime() - began);
    }

    /** Transactions that survive a power cut, ours and theirs in turn on the same disk. */
    private static void row(String name, int messages, Work ours, Work theirs) throws Exception {
        List<Double> our = new ArrayList<>();
        List<Double> their = new ArrayList<>();
        List<Double> ratios = new ArrayList<>();
        for (int repetition = 0; repetition < 5; repetition++) {
            double mine = rate(ours, messages);
            double other = rate(theirs, messages);
            our.add(mine);
            their.add(other);
            ratios.add(mine / other);
        }
        double ratio = median(ratios);
        line("power_" + messages + "_" + name, ratio > 1, "repliq", median(our), "other", median(their), "ratio", ratio);
    }

    private static void stores(Path folder) throws Exception {
        RocksDB.loadLibrary();
        List<Message> batch = Collections.nCopies(BATCH, Message.of(PAYLOAD));
        try (Store store = Store.open(folder.resolve("repliq"));
                ChronicleQueue chronicle = SingleChronicleQueueBuilder.binary(folder.resolve("chronicle").toFile())
                    .blockSize(64L << 20).syncMode(SyncMode.SYNC).build();
                Options options = new Options().setCreateIfMissing(true);
                RocksDB rocks = RocksDB.open(options, folder.resolve("rocksdb").toString());
                WriteOptions sync = new WriteOptions().setSync(true)) {
            Queue queue = store.queue("orders");
            ExcerptAppender appender = chronicle.createAppender();
            Bytes<byte[]> bytes = Bytes.wrapForRead(PAYLOAD);
            long[] last = new long[1];
            for (int messages : new int[] {1, BATCH}) {
                Work ours = messages == 1 ? () -> queue.put(PAYLOAD) : () -> queue.putMany(batch);
                row("chronicle", messages, ours, () -> {
                    // One document is one transaction.
                    try (DocumentContext document = appender.writingDocument()) {
                        for (int at = 0; at < messages; at++) {
                            bytes.readPosition(0);
                            document.wire().write().bytes(bytes);
                        }
                    }
                    appender.sync();
                });
                row("rocksdb", messages, ours, () -> rocksdb(rocks, sync, last, messages));
            }
        }
    }

    private static void rocksdb(RocksDB rocks, WriteOptions sync, long[] last, int messages) throws RocksDBException {
        try (WriteBatch writes = new WriteBatch()) {
            for (int at = 0; at < messages; at++) {
                writes.put(ByteBuffer.allocate(8).putLong(0, ++last[0]).array(), PAYLOAD);
            }
            rocks.write(sync, writes);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[0]));
        List<String> parts = arguments.length > 2 ? Arrays.asList(arguments).subList(2, arguments.length)
            : List.of("calls", "stores");
        if (parts.contains("calls")) {
            calls(folder, arguments[1]);
        }
        if (parts.contains("stores")) {
            stores(folder);
        }
        System.exit(missed ? 1 : 0);
    }
}
