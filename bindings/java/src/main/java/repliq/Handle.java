package repliq;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;

/**
 * A native object: who is inside a call is counted, and the last one out after a close frees it, so that a close that
 * races with a call never frees what the call uses. It holds no reference to its owner, which is what lets the cleaner
 * find out that the owner is gone.
 */
final class Handle implements Runnable {
    private static final int CLOSED = 1 << 30;
    private static final VarHandle STATE = state();
    private static final Cleaner CLEANER = Cleaner.create();
    private static final byte[] NONE = new byte[0];

    private final String what;
    private final boolean alone;
    private final long id;
    /** How many are inside, and whether it is closed. */
    private volatile int state;

    private Handle(String what, boolean alone, long id) {
        this.what = what;
        this.alone = alone;
        this.id = id;
    }

    private static VarHandle state() {
        try {
            return MethodHandles.lookup().findVarHandle(Handle.class, "state", int.class);
        } catch (ReflectiveOperationException error) {
            throw new ExceptionInInitializerError(error);
        }
    }

    /** A handle that several threads may use at the same time. */
    static Handle shared(Object owner, String what, long id) {
        return guard(owner, new Handle(what, false, id));
    }

    /** A handle for one thread at a time; others are told so and do not wait. */
    static Handle alone(Object owner, String what, long id) {
        return guard(owner, new Handle(what, true, id));
    }

    /** Does something when an object was forgotten, which it must not hold. */
    static void whenForgotten(Object owner, Runnable action) {
        CLEANER.register(owner, action);
    }

    private static Handle guard(Object owner, Handle handle) {
        CLEANER.register(owner, handle);
        return handle;
    }

    /** Begins a call; {@link #leave} must follow. */
    long enter() {
        for (;;) {
            int now = state;
            if (now >= CLOSED) {
                throw RepliqException.of(Code.CLOSED, "the " + what + " is closed");
            }
            if (alone && now != 0) {
                throw RepliqException.of(Code.BUSY, "another thread is in the " + what);
            }
            if (STATE.compareAndSet(this, now, now + 1)) {
                return id;
            }
        }
    }

    /** Ends a call. */
    void leave() {
        if ((int) STATE.getAndAdd(this, -1) == CLOSED + 1) {
            free();
        }
    }

    /** Calls a verb. */
    Unpacker call(int verb, Packer arguments) {
        long entered = enter(arguments);
        try {
            return arguments.call(verb, entered);
        } finally {
            leave();
            Reference.reachabilityFence(this);
        }
    }

    private long enter(Packer arguments) {
        try {
            return enter();
        } catch (RepliqException error) {
            arguments.wipe();
            throw error;
        }
    }

    /** Calls a verb that takes nothing. */
    Unpacker call(int verb) {
        long entered = enter();
        try {
            return new Unpacker(Native.call(verb, entered, NONE));
        } finally {
            leave();
        }
    }

    boolean isClosed() {
        return state >= CLOSED;
    }

    /** Lets nobody in any more, and frees it when the last one is out; false where somebody did so before. */
    boolean close() {
        int before = (int) STATE.getAndBitwiseOr(this, CLOSED);
        if (before == 0) {
            free();
        }
        return before < CLOSED;
    }

    /** Closes it unless another thread is inside, which is not disturbed. */
    void closeAlone() {
        if (STATE.compareAndSet(this, 0, CLOSED)) {
            free();
        } else if (!isClosed()) {
            throw RepliqException.of(Code.BUSY, "another thread is in the " + what);
        }
    }

    /** Gives the native object to somebody else, who frees it; the handle is closed then. */
    long give() {
        if (STATE.compareAndSet(this, 0, CLOSED)) {
            return id;
        }
        if (isClosed()) {
            throw RepliqException.of(Code.CLOSED, "the " + what + " is closed");
        }
        throw RepliqException.of(Code.BUSY, "another thread is in the " + what);
    }

    private void free() {
        Native.call(Verb.FREE, id, NONE);
    }

    /** What the cleaner does when the owner was forgotten. */
    @Override
    public void run() {
        close();
    }
}
