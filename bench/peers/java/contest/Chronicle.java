package contest;

import java.nio.file.Path;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.bytes.SyncMode;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;

import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.queue.rollcycles.LargeRollCycles;
import net.openhft.chronicle.wire.DocumentContext;

/**
 * Chronicle Queue: blocks of 64 MiB, LARGE_DAILY, an appender a thread. {@code power}: SyncMode.SYNC, and the appender's
 * sync after each message. It deletes nothing, so a turn begins with an empty directory.
 *
 * <p>put, paced, drain (a named tailer), scan.
 */
final class Chronicle extends Contest {
    private ChronicleQueue queue;
    private int generation;

    public static void main(String[] words) {
        new Chronicle().run(words);
    }

    @Override
    String open() throws Exception {
        double until = System.nanoTime() + WARM_S * 1e9;
        while (System.nanoTime() < until) {
            stint(Stint.warm(power ? 10_000 : 300_000, workload.equals("paced") ? 2.0 : 1.0));
        }
        return "5.27ea5";
    }

    private void renew() throws Exception {
        if (queue != null) {
            queue.close();
            remove(folder());
        }
        generation++;
        queue = SingleChronicleQueueBuilder.single(folder().toFile()).blockSize(64 << 20)
                .rollCycle(LargeRollCycles.LARGE_DAILY).syncMode(power ? SyncMode.SYNC : SyncMode.NONE).build();
    }

    private Path folder() {
        return dir.resolve("queue-" + generation);
    }

    private static void append(ExcerptAppender appender, Bytes<?> payload) {
        try (DocumentContext document = appender.writingDocument()) {
            document.wire().bytes().write(payload, 0L, payload.readLimit());
        }
    }

    private Bytes<?> payload() {
        Bytes<?> payload = Bytes.allocateDirect(size);
        for (int at = 0; at < size; at++) {
            payload.writeByte((byte) 'x');
        }
        return payload;
    }

    @Override
    void stint(Stint stint) throws Exception {
        renew();
        switch (workload) {
            case "put":
                commits(stint, thread -> {
                    ExcerptAppender appender = queue.createAppender();
                    Bytes<?> payload = payload();
                    return () -> {
                        append(appender, payload);
                        if (power) {
                            appender.sync();
                        }
                    };
                });
                break;
            case "paced":
                paced(stint);
                break;
            default:
                readAll(stint);
        }
    }

    private void paced(Stint stint) {
        long gap = 1_000_000_000L / number("rate", 100_000);
        long end = Math.min(stint.messages, (long) (stint.seconds() * 1e9) / gap);
        Times times = new Times();
        Bytes<?> payload = payload();
        try (ExcerptAppender appender = queue.createAppender()) {
            long begun = stint.begin();
            for (long at = 0; at < end; at++) {
                long due = begun + gap * at;
                while (System.nanoTime() < due) {
                    Thread.onSpinWait();
                }
                append(appender, payload);
                times.add(System.nanoTime() - due);
            }
            stint.end(end, end, times);
        }
    }

    private void readAll(Stint stint) {
        Bytes<?> payload = payload();
        try (ExcerptAppender appender = queue.createAppender()) {
            for (long at = 0; at < stint.messages; at++) {
                append(appender, payload);
            }
            if (power) {
                appender.sync();
            }
        }
        byte[] found = new byte[size];
        long done = 0;
        try (ExcerptTailer tailer = workload.equals("drain") ? queue.createTailer("bench") : queue.createTailer()) {
            stint.begin();
            while (!stint.over()) {
                try (DocumentContext document = tailer.readingDocument()) {
                    if (!document.isPresent()) {
                        break;
                    }
                    document.wire().bytes().read(found);
                }
                done++;
                if (power && workload.equals("drain") && done % 10_000 == 0) {
                    tailer.sync();
                }
            }
            stint.end(done, done / 10_000, new Times());
        }
    }
}
