package repliq;

import java.lang.System.Logger;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A consumer with a handler, made by {@link Consumer#listen}.
 *
 * <p>The handler runs on a thread of its own, or on {@link ListenerOptions#threads several}, which do not keep the JVM alive; it works until the listener or its store
 * is closed, whether somebody holds this object or not. When the handler returns, the session is committed with what it
 * put there; when it throws, it is rolled back and the {@link Policy} decides. {@code throw new Park(reason)} sets the key
 * aside at once. A handler may put into the session, and do nothing else with it.
 */
public final class Listener implements AutoCloseable {
    private static final String DOING = "waiting for the handler of a listener";

    private final Handle handle;
    private final Session[] sessions;
    private final Thread[] threads;
    /** What ended the work and not the listener: a bug of the library. */
    private volatile RepliqException died;

    Listener(String name, long id, Session[] sessions, JobHandler handler) {
        handle = Handle.shared(this, "listener", id);
        this.sessions = sessions;
        threads = new Thread[sessions.length];
        for (int at = 0; at < threads.length; at++) {
            int part = at;
            Work work = new Work(sessions[at], handler);
            threads[at] = new Thread(() -> run(part, work), "repliq-listener-" + name);
            threads[at].setDaemon(true);
        }
        for (Thread thread : threads) {
            thread.start();
        }
    }

    /** What to do with a message. */
    public interface Handler {
        /**
         * Works on a message.
         *
         * @param session commits what is put into it together with the acknowledgement; of no use behind this call
         * @param message to work on
         * @throws Exception to be tried again as the policy says
         */
        void handle(Session session, Message message) throws Exception;
    }

    /** What to do with the messages of a transaction. */
    public interface JobHandler {
        /**
         * Works on the messages of a transaction.
         *
         * @param session commits what is put into it together with the acknowledgement; of no use behind this call
         * @param messages to work on, at least one
         * @throws Exception to be tried again as the policy says
         */
        void handle(Session session, List<Message> messages) throws Exception;
    }

    private void run(int part, Work work) {
        long id = handle.enter();
        try {
            Native.run(id, part, work);
        } catch (RepliqException error) {
            died = error;
            Work.log(Logger.Level.ERROR, "a listener ended", error);
        } finally {
            handle.leave();
        }
    }

    /** What the native library calls. */
    static final class Work {
        private static final Logger LOG = Log.logger("repliq.listener");

        private final Session session;
        private final JobHandler handler;

        Work(Session session, JobHandler handler) {
            this.session = session;
            this.handler = handler;
        }

        /** Calls the handler with packed messages; null when it is done, else whether to park, and why. */
        byte[] handle(byte[] packed) {
            try {
                handler.handle(session, Message.read(ByteBuffer.wrap(packed)));
                return null;
            } catch (Park park) {
                log(Logger.Level.WARNING, "a handler put its message aside: " + park.getMessage(), null);
                return answer(true, park.getMessage());
            } catch (Throwable error) {
                // Nobody else would hear of it; an Error of the JVM, too, must not end in the native library.
                log(Logger.Level.ERROR, "a handler failed", error);
                return answer(false, text(error));
            }
        }

        /** A logger that fails takes nothing from what a handler said. */
        private static void log(Logger.Level level, String text, Throwable error) {
            try {
                LOG.log(level, text, error);
            } catch (Throwable failure) {
                // There is nobody left to tell.
                Thread.yield();
            }
        }

        /** An exception may be of a kind that throws when it is asked for its text. */
        private static String text(Throwable error) {
            try {
                return error.toString();
            } catch (Throwable failure) {
                return error.getClass().getName();
            }
        }

        private static byte[] answer(boolean park, String reason) {
            return new Packer().flag(park).text(reason == null ? "" : reason).done();
        }
    }

    /**
     * What it has done so far.
     *
     * @return as it is now
     */
    public ListenerStatus status() {
        return new ListenerStatus(handle.call(Verb.LISTENER_STATUS), died);
    }

    /**
     * Ends the work after the calls under way, for which it waits, and closes the consumer. Does nothing the second time.
     *
     * @throws RepliqException with {@link Code#BUSY} from the handler itself; with {@link Code#CANCELLED} when the thread is
     *     interrupted: the work ends when the handler returns
     */
    @Override
    public void close() {
        end(null);
    }

    /**
     * Ends the work as {@link #close()} does.
     *
     * @param timeout as long at most
     * @throws RepliqException with {@link Code#TIMEOUT} when the handler did not return: the work ends when it does
     */
    public void close(Duration timeout) {
        end(Check.given(timeout, "the timeout"));
    }

    private void end(Duration timeout) {
        if (Arrays.asList(threads).contains(Thread.currentThread())) {
            throw RepliqException.of(Code.BUSY, "a listener cannot be closed by its own handler");
        }
        if (!handle.isClosed()) {
            handle.call(Verb.LISTENER_STOP);
        }
        Boolean ended = Waits.slices(timeout, DOING, milliseconds -> {
            Thread last = Arrays.stream(threads).filter(Thread::isAlive).findFirst().orElse(null);
            if (last == null) {
                return Boolean.TRUE;
            }
            try {
                if (milliseconds > 0) {
                    TimeUnit.MILLISECONDS.timedJoin(last, milliseconds);
                }
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            return Arrays.stream(threads).anyMatch(Thread::isAlive) ? null : Boolean.TRUE;
        });
        if (ended == null) {
            throw RepliqException.of(Code.TIMEOUT, "the handler of a listener has not returned in the time given");
        }
        handle.close();
        for (Session session : sessions) {
            session.end();
        }
    }
}
