package repliq;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** The operations of a store that are under way: a port, and one thread that drains it, from the first of them on. */
final class Futures {
    private static final int MAX = 256;
    private static final long WAIT_MS = 1_000;
    /** How long a close waits for the thread to hand out what was cancelled. */
    private static final long SETTLE_MS = 1_000;

    /** Begins an operation on a port under a tag. */
    interface Start {
        void start(long port, long tag);
    }

    /** A future, and the store, which is not forgotten while it is under way. */
    private static final class Pending {
        final CompletableFuture<Commit> future = new CompletableFuture<>();
        final Store store;

        Pending(Store store) {
            this.store = store;
        }
    }

    private final Map<Long, Pending> pending = new ConcurrentHashMap<>();
    private final AtomicLong last = new AtomicLong();
    private Port port;
    private Thread thread;
    private boolean closed;

    /** The port; its thread runs from now on. */
    private synchronized Port port() {
        if (closed) {
            throw RepliqException.of(Code.CLOSED, "the store is closed");
        }
        if (port == null) {
            Port opened = Port.open();
            Map<Long, Pending> waiting = pending;
            thread = new Thread(() -> run(opened, waiting), "repliq-futures");
            thread.setDaemon(true);
            thread.start();
            port = opened;
            // A store that was forgotten forgets this, too; the thread holds the port alone.
            Handle.whenForgotten(this, opened::close);
        }
        return port;
    }

    CompletableFuture<Commit> start(Store store, Start start) {
        Handle handle = port().handle();
        Pending one = new Pending(store);
        long tag = last.incrementAndGet();
        pending.put(tag, one);
        boolean started = false;
        long id = handle.enter();
        try {
            start.start(id, tag);
            started = true;
        } finally {
            handle.leave();
            if (!started) {
                pending.remove(tag);
            }
        }
        return one.future;
    }

    /** Ends every future; called when the store is closed and all has ended that will. */
    void close() {
        Port open;
        synchronized (this) {
            closed = true;
            open = port;
        }
        if (open == null) {
            return;
        }
        for (Long tag : pending.keySet()) {
            try {
                open.cancel(tag);
            } catch (RepliqException error) {
                // It ended meanwhile.
                continue;
            }
        }
        open.close();
        if (Thread.currentThread() != thread) {
            settle();
        }
    }

    /** Waits for the thread to have handed out what there is. */
    private void settle() {
        boolean interrupted = false;
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(SETTLE_MS);
        for (long left = SETTLE_MS; left > 0 && thread.isAlive(); ) {
            try {
                thread.join(left);
            } catch (InterruptedException error) {
                interrupted = true;
            }
            left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void run(Port port, Map<Long, Pending> pending) {
        boolean lost = false;
        for (;;) {
            try {
                if (lost) {
                    endAll(pending, Code.OUTCOME_UNKNOWN, "no memory was left to read what became of the operation");
                    lost = false;
                }
                List<Event> events = port.slice(MAX, WAIT_MS);
                if (events != null) {
                    events.forEach(event -> end(pending, event));
                }
            } catch (RepliqException.Closed error) {
                // The port is closed: so is the store.
                endAll(pending, Code.CLOSED, "the store was closed before the operation ended");
                return;
            } catch (Throwable error) {
                // Of no memory, here or on the way from the native library: nobody knows which events were in it.
                lost = true;
            }
        }
    }

    private static void endAll(Map<Long, Pending> pending, Code code, String text) {
        pending.forEach((tag, one) -> {
            one.future.completeExceptionally(RepliqException.of(code, text));
            pending.remove(tag);
        });
    }

    /** It is forgotten behind its end, for which memory may be missing. */
    private static void end(Map<Long, Pending> pending, Event event) {
        Pending one = pending.get(event.tag());
        if (one == null) {
            return;
        }
        if (event.error().isPresent()) {
            one.future.completeExceptionally(event.error().get());
        } else {
            one.future.complete(event.commit().get());
        }
        pending.remove(event.tag());
    }
}
