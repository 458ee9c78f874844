package repliq.socketpro;

import java.nio.ByteBuffer;
import java.nio.file.InvalidPathException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import repliq.Code;
import repliq.RepliqException;

/**
 * A root queue that reaches every target, in order, once, job by job. {@code docs/SOCKETPRO.md} has every name and every
 * difference to SocketPro.
 *
 * <pre>{@code
 * QueueConfigure.SetMessageQueuePassword("MyQPassword");
 * QueueConfigure.SetWorkDirectory("sp_test/");
 * try (CReplication rep = new CReplication()) {
 *     rep.Start(Map.of("Tolocal", new CConnectionContext("127.0.0.1", 20901, "replication", "p4localhost")));
 *     rep.Send(0x2002, new CScopeUQueue().Save("David").Save("Young"));
 * }
 * }</pre>
 *
 * <p>Calls that answer a bool do not throw for what can go wrong: {@link #LastError} says why the last one of the
 * calling thread failed. Any number of threads may call anything but Start and the closing at once; the job belongs to
 * the object and not to a thread.
 */
public class CReplication implements AutoCloseable {
    /** What stands at the end of a directory. */
    public static final char DIR_SEP = '/';
    /** Request ids up to this one are reserved. */
    private static final int RESERVED_ID = 0x2001;
    private static final byte[] NONE = new byte[0];
    private static final ThreadLocal<RepliqException> LAST = new ThreadLocal<>();

    private final ReplicationSetting setting;
    private final AtomicReference<Opened> opened = new AtomicReference<>();

    /** With the defaults. */
    public CReplication() {
        this(null);
    }

    /**
     * Opens nothing and cannot fail; that is up to {@link #Start}.
     *
     * @param setting how to replicate, of which a copy is kept; null for the defaults
     */
    public CReplication(ReplicationSetting setting) {
        this.setting = ReplicationSetting.normal(setting);
    }

    // ---- calls that answer a bool

    /**
     * The same as {@link #Start(Map, String)} with the root {@code replication}.
     *
     * @param mapQueueConn the targets by their names
     * @return whether the queues are open
     */
    public boolean Start(Map<String, CConnectionContext> mapQueueConn) {
        return Start(mapQueueConn, "");
    }

    /**
     * Opens the root with its targets. It waits for no connection, and closes what was open before.
     *
     * @param mapQueueConn the targets by their names
     * @param root the name of the root, empty or null for {@code replication}; ignored with one target
     * @return whether the queues are open, connected or not
     */
    public boolean Start(Map<String, CConnectionContext> mapQueueConn, String root) {
        return told(() -> {
            close();
            opened.set(Opened.open(setting, mapQueueConn, root));
        });
    }

    /**
     * One request without a payload.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId) {
        return send(reqId, ByteBuffer.wrap(NONE));
    }

    /**
     * One request with these bytes.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @param data the payload; null for none
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId, byte[] data) {
        return send(reqId, ByteBuffer.wrap(data == null ? NONE : data));
    }

    /**
     * One request with the first of these bytes.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @param data the payload; null for none
     * @param size how many of the bytes
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId, byte[] data, int size) {
        byte[] all = data == null ? NONE : data;
        if (size < 0 || size > all.length) {
            return told(() -> {
                throw invalid("a request of " + size + " bytes of " + all.length);
            });
        }
        return send(reqId, ByteBuffer.wrap(all, 0, size));
    }

    /**
     * One request with what remains of a buffer, which is left as it is.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @param data the payload; null for none
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId, ByteBuffer data) {
        return send(reqId, data == null ? ByteBuffer.wrap(NONE) : data);
    }

    /**
     * One request with the first of what remains of a buffer, which is left as it is.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @param data the payload; null for none
     * @param size how many of the bytes
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId, ByteBuffer data, int size) {
        ByteBuffer all = data == null ? ByteBuffer.wrap(NONE) : data.duplicate();
        if (size < 0 || size > all.remaining()) {
            return told(() -> {
                throw invalid("a request of " + size + " bytes of " + all.remaining());
            });
        }
        all.limit(all.position() + size);
        return send(reqId, all);
    }

    /**
     * One request with what was packed.
     *
     * @param reqId its id, from 0x2002 to 0xFFFF
     * @param q the packer, which is left as it is; null for no payload
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(int reqId, CScopeUQueue q) {
        return send(reqId, q == null ? ByteBuffer.wrap(NONE) : q.view());
    }

    /**
     * The same as {@link #Send(int)}.
     *
     * @param reqId its id, of which the 16 bits count
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId) {
        return Send(Short.toUnsignedInt(reqId));
    }

    /**
     * The same as {@link #Send(int, byte[])}.
     *
     * @param reqId its id, of which the 16 bits count
     * @param data the payload; null for none
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId, byte[] data) {
        return Send(Short.toUnsignedInt(reqId), data);
    }

    /**
     * The same as {@link #Send(int, byte[], int)}.
     *
     * @param reqId its id, of which the 16 bits count
     * @param data the payload; null for none
     * @param size how many of the bytes
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId, byte[] data, int size) {
        return Send(Short.toUnsignedInt(reqId), data, size);
    }

    /**
     * The same as {@link #Send(int, ByteBuffer)}.
     *
     * @param reqId its id, of which the 16 bits count
     * @param data the payload; null for none
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId, ByteBuffer data) {
        return Send(Short.toUnsignedInt(reqId), data);
    }

    /**
     * The same as {@link #Send(int, ByteBuffer, int)}.
     *
     * @param reqId its id, of which the 16 bits count
     * @param data the payload; null for none
     * @param size how many of the bytes
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId, ByteBuffer data, int size) {
        return Send(Short.toUnsignedInt(reqId), data, size);
    }

    /**
     * The same as {@link #Send(int, CScopeUQueue)}.
     *
     * @param reqId its id, of which the 16 bits count
     * @param q the packer, which is left as it is; null for no payload
     * @return whether it is stored, or is part of the open job
     */
    public boolean Send(short reqId, CScopeUQueue q) {
        return Send(Short.toUnsignedInt(reqId), q);
    }

    /**
     * From here to {@link #EndJob} everything that any thread sends is one transaction.
     *
     * @return false where a job is open already
     */
    public boolean StartJob() {
        return told(() -> get().link.startJob());
    }

    /**
     * Commits the job; after false it is gone, and nothing of it is stored.
     *
     * @return whether it is stored
     */
    public boolean EndJob() {
        return told(() -> get().link.endJob());
    }

    /**
     * Gives the job up: nothing of it is left.
     *
     * @return false where no job is open
     */
    public boolean AbortJob() {
        return told(() -> get().link.abortJob());
    }

    /**
     * Sees to it that everything stored goes out now, which it does by itself.
     *
     * @return false with one target
     */
    public boolean DoReplication() {
        return told(() -> {
            Opened now = get();
            if (now.targets.size() < 2) {
                throw invalid("there is nothing to replicate: \"" + now.root + "\" has one target");
            }
            now.link.push();
        });
    }

    /**
     * Why the last call that answers a bool failed, of those that this thread made on any replication.
     *
     * @return null where it did not fail
     */
    public RepliqException LastError() {
        return LAST.get();
    }

    // ---- what there is

    /**
     * Started with two targets or more.
     *
     * @return whether it is
     */
    public boolean getReplicable() {
        return getHosts() > 1;
    }

    /**
     * The same as {@link #getReplicable}.
     *
     * @return whether it is
     */
    public boolean IsReplicable() {
        return getReplicable();
    }

    /**
     * How many targets are connected and logged in.
     *
     * @return 0 before Start
     */
    public int getConnections() {
        return (int) getTargetQueues().stream().filter(CClientQueue::getConnected).count();
    }

    /**
     * How many targets there are.
     *
     * @return 0 before Start
     */
    public int getHosts() {
        Opened now = opened.get();
        return now == null ? 0 : now.targets.size();
    }

    /**
     * The targets, and the root where there are two or more.
     *
     * @return 0 before Start
     */
    public int getQueues() {
        int hosts = getHosts();
        return hosts > 1 ? hosts + 1 : hosts;
    }

    /**
     * The root. Everybody has everything where its count of messages is 0.
     *
     * @return as it is now; empty before Start
     */
    public CClientQueue getSourceQueue() {
        Opened now = opened.get();
        if (now == null) {
            return new CClientQueue();
        }
        long messages = 0;
        boolean connected = false;
        for (CClientQueue target : now.describe(setting.TTL)) {
            messages = Math.max(messages, target.getMessageCount());
            connected |= target.getConnected();
        }
        return now.queue(now.root, setting.TTL, true).in(messages, connected, "");
    }

    /**
     * The targets.
     *
     * @return as they are now, in the order of their names; empty before Start
     */
    public List<CClientQueue> getTargetQueues() {
        Opened now = opened.get();
        return now == null ? Collections.emptyList() : new ArrayList<>(now.describe(setting.TTL));
    }

    /**
     * The setting, with the defaults put in for 0.
     *
     * @return a copy
     */
    public ReplicationSetting getReplicationSetting() {
        return ReplicationSetting.normal(setting);
    }

    /** Gives an open job up and ends the links; what is stored goes out after the next Start. */
    @Override
    public void close() {
        Opened before = opened.getAndSet(null);
        if (before != null) {
            before.close();
        }
    }

    /** The same as {@link #close}. */
    public void Dispose() {
        close();
    }

    // ---- how it is done

    private static RepliqException invalid(String text) {
        return RepliqException.of(Code.INVALID, text);
    }

    private Opened get() {
        Opened now = opened.get();
        if (now == null) {
            throw RepliqException.of(Code.CLOSED, "the replication was not started");
        }
        return now;
    }

    private boolean send(int reqId, ByteBuffer payload) {
        return told(() -> {
            if (reqId <= RESERVED_ID || reqId > 0xFFFF) {
                throw invalid("request id " + reqId + " is not one from 8194 to 65535");
            }
            get().send(reqId, payload, setting.TTL);
        });
    }

    /** Does it; what is thrown is kept for {@link #LastError}. */
    private static boolean told(Runnable call) {
        LAST.remove();
        try {
            call.run();
            return true;
        } catch (RepliqException error) {
            LAST.set(error);
        } catch (InvalidPathException error) {
            LAST.set(invalid(error.getMessage()));
        }
        return false;
    }
}
