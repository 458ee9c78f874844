package contest;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;

/**
 * What a contestant says and hears, on the JVM; bench/peers/rust/src/contest.rs says it in full.
 *
 * <p>A contestant extends this class, opens in {@link #open}, and does a turn in {@link #stint}. A virtual machine must
 * be warm before anything counts: {@link #open} works for {@link #WARM_S} seconds or more.
 */
abstract class Contest {
    /** Seconds of work before the first turn. */
    static final double WARM_S = 5.0;

    /** One turn. */
    static final class Stint {
        final long messages;
        private final long limitNs;
        private long begunNs;

        Stint(long messages, double seconds) {
            this.messages = messages;
            this.limitNs = (long) (seconds * 1e9);
        }

        /** A turn that only warms: nothing is said. */
        static Stint warm(long messages, double seconds) {
            Stint stint = new Stint(messages, seconds);
            stint.silent = true;
            return stint;
        }

        private boolean silent;

        long begin() {
            say("begin");
            begunNs = System.nanoTime();
            return begunNs;
        }

        boolean over() {
            return System.nanoTime() - begunNs >= limitNs;
        }

        double seconds() {
            return limitNs / 1e9;
        }

        void end(long messages, long commits, Times times) {
            double seconds = (System.nanoTime() - begunNs) / 1e9;
            say(String.format(Locale.ROOT, "{\"messages\":%d,\"commits\":%d,\"seconds\":%.9f%s}", messages, commits, seconds,
                    times.json()));
        }

        private void say(String line) {
            if (!silent) {
                System.out.println(line);
                System.out.flush();
            }
        }
    }

    /** Times of calls in nanoseconds. */
    static final class Times {
        private long[] ns = new long[4096];
        private int count;

        void add(long one) {
            if (count == ns.length) {
                ns = Arrays.copyOf(ns, 2 * count);
            }
            ns[count++] = one;
        }

        void merge(Times other) {
            for (int at = 0; at < other.count; at++) {
                add(other.ns[at]);
            }
        }

        private double us(double share) {
            return ns[Math.min(count - 1, (int) (count * share))] / 1e3;
        }

        String json() {
            if (count == 0) {
                return "";
            }
            Arrays.sort(ns, 0, count);
            return String.format(Locale.ROOT, ",\"p50_us\":%.3f,\"p99_us\":%.3f,\"p9999_us\":%.3f", us(0.5), us(0.99),
                    us(0.9999));
        }
    }

    /** One commit of a thread. */
    interface Commit {
        void run() throws Exception;
    }

    /** Makes the commits of one thread, on that thread. */
    interface Maker {
        Commit make(int thread) throws Exception;
    }

    final Map<String, String> options = new HashMap<>();
    String workload = "";
    Path dir = Path.of("");
    int size;
    int threads;
    int window;
    int batch;
    boolean power;
    /** Messages of all turns by {@link #commits}. */
    private long worked;

    /** Opens and warms; the version. */
    abstract String open() throws Exception;

    /** One turn. */
    abstract void stint(Stint stint) throws Exception;

    /** Ends what would not end with the process. */
    void close() throws Exception {}

    final int number(String name, int otherwise) {
        return options.containsKey(name) ? Integer.parseInt(options.get(name)) : otherwise;
    }

    final void read(String[] words) {
        for (int at = words.length % 2; at < words.length; at += 2) {
            options.put(words[at].substring(2), words[at + 1]);
        }
        workload = words.length % 2 == 1 ? words[0] : "";
        dir = Path.of(options.get("dir"));
        size = number("size", 100);
        threads = number("threads", 1);
        window = number("window", 1);
        batch = number("batch", 1);
        power = !options.getOrDefault("level", "power").equals("process");
    }

    /** The whole of {@code main}. */
    final void run(String[] words) {
        try {
            read(words);
            System.out.println("ready " + open());
            System.out.flush();
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] parts = line.split(" ");
                stint(new Stint(Long.parseLong(parts[1]), Double.parseDouble(parts[2])));
            }
            close();
            System.exit(0);
        } catch (Throwable error) {
            error.printStackTrace();
            System.err.println(getClass().getSimpleName() + ": " + error);
            System.exit(1);
        }
    }

    /** Commits that each thread makes in a turn at most. */
    final long share(Stint stint) {
        return (stint.messages + (long) threads * batch - 1) / ((long) threads * batch);
    }

    /** Takes turns of so many messages that only warm: {@link #WARM_S} seconds, and 60,000 messages unless they take longer than
     * a minute. */
    final void warm(long messages) throws Exception {
        double begun = System.nanoTime();
        while (System.nanoTime() < begun + WARM_S * 1e9 || worked < 60_000 && System.nanoTime() < begun + 60e9) {
            stint(Stint.warm(messages, 2.0));
        }
    }

    /** Commits of {@code batch} messages by so many threads, each waiting for each of its own. */
    final void commits(Stint stint, Maker maker) throws Exception {
        long share = share(stint);
        if (threads == 1) {
            Commit commit = maker.make(0);
            stint.begin();
            Times times = new Times();
            long done = part(stint, share, commit, times);
            worked += done * batch;
            stint.end(done * batch, done, times);
            return;
        }
        Times[] times = new Times[threads];
        long[] done = new long[threads];
        Thread[] running = new Thread[threads];
        AtomicReference<Throwable> failed = new AtomicReference<>();
        stint.begin();
        for (int at = 0; at < threads; at++) {
            int thread = at;
            times[at] = new Times();
            running[at] = new Thread(() -> {
                try {
                    done[thread] = part(stint, share, maker.make(thread), times[thread]);
                } catch (Throwable error) {
                    failed.set(error);
                }
            });
            running[at].start();
        }
        Times all = new Times();
        for (int at = 0; at < threads; at++) {
            running[at].join();
            all.merge(times[at]);
        }
        if (failed.get() != null) {
            throw new IllegalStateException("a thread failed", failed.get());
        }
        long sum = Arrays.stream(done).sum();
        worked += sum * batch;
        stint.end(sum * batch, sum, all);
    }

    /** Each call is timed where it waits for a disk; the clock's own call would be a good part of a shorter one. */
    private long part(Stint stint, long share, Commit commit, Times times) throws Exception {
        long done = 0;
        while (done < share && !stint.over()) {
            if (power) {
                long start = System.nanoTime();
                commit.run();
                times.add(System.nanoTime() - start);
                done++;
            } else {
                long some = Math.min(64, share - done);
                for (long at = 0; at < some; at++) {
                    commit.run();
                }
                done += some;
            }
        }
        return done;
    }

    /** Removes a directory with everything in it. */
    static void remove(Path path) throws IOException {
        if (Files.exists(path)) {
            try (Stream<Path> paths = Files.walk(path)) {
                paths.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }
}
