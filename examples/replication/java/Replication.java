import java.util.Map;
import repliq.socketpro.CClientQueue;
import repliq.socketpro.CConnectionContext;
import repliq.socketpro.CReplication;
import repliq.socketpro.CScopeUQueue;
import repliq.socketpro.QueueConfigure;
import repliq.socketpro.ReplicationSetting;

/**
 * The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.
 *
 * <p>Usage: Replication [DIRECTORY [ADDRESS ADDRESS]]
 *
 * <p>The servers are hello_world of any language. Neither has to run when this starts: what is sent is on this disk, and
 * goes out as soon as a server is there.
 */
public final class Replication {
    private static final int ID_SAY_HELLO = 0x2002;
    private static final int ID_SLEEP = 0x2003;
    private static final int ID_ECHO = 0x2004;
    private static final long MINUTE_NS = 60_000_000_000L;

    private Replication() {}

    /** Where a server is, from HOST:PORT. */
    private static CConnectionContext at(String address, String user, String password) {
        int colon = address.lastIndexOf(':');
        int port = Integer.parseInt(address.substring(colon + 1));
        return new CConnectionContext(address.substring(0, colon), port, user, password);
    }

    private static CScopeUQueue names(String first, String last) {
        return new CScopeUQueue().Save(first).Save(last);
    }

    // ANCHOR: run
    /** The tutorial: every answer is looked at, for false means that nothing was stored. */
    private static boolean run(CReplication rep, Map<String, CConnectionContext> targets) {
        return rep.Start(targets, "hw_root_queue_name")
                // ANCHOR: job
                // A job: both requests or neither.
                && rep.StartJob()
                && rep.Send(ID_SAY_HELLO, names("David", "Young"))
                && rep.Send(ID_ECHO, new CMyStruct().SaveTo(new CScopeUQueue()))
                && rep.EndJob()
                // ANCHOR_END: job
                // Outside a job each request is a transaction of its own.
                && rep.Send(ID_SAY_HELLO, names("Jack", "Smith"))
                && rep.Send(ID_SLEEP, new CScopeUQueue().Save(5))
                // A job that is given up leaves nothing, here or at any server.
                && rep.StartJob()
                && rep.Send(ID_SAY_HELLO, names("Nobody", "Here"))
                && rep.AbortJob();
    }
    // ANCHOR_END: run

    /** Everything is on this disk; this waits until it is on the servers' disks. */
    private static boolean everybodyHasIt(CReplication rep) throws InterruptedException {
        long end = System.nanoTime() + MINUTE_NS;
        while (rep.getSourceQueue().getMessageCount() > 0) {
            if (System.nanoTime() > end) {
                for (CClientQueue target : rep.getTargetQueues()) {
                    System.err.println("replication: " + target.getQueueName() + " lacks " + target.getMessageCount()
                            + " requests: " + target.getLastError());
                }
                return false;
            }
            Thread.sleep(10);
        }
        return true;
    }

    private static int replicate(String[] args) throws InterruptedException {
        // ANCHOR: start
        QueueConfigure.SetMessageQueuePassword("MyQPassword");
        QueueConfigure.SetWorkDirectory(args.length > 0 ? args[0] : "sp_test/");
        Map<String, CConnectionContext> targets = Map.of(
                "Tolocal", at(args.length > 1 ? args[1] : "127.0.0.1:20901", "replication", "p4localhost"),
                "ToLinux", at(args.length > 2 ? args[2] : "127.0.0.1:20902", "remote_rep", "PassOne"));
        // ANCHOR_END: start
        try (CReplication rep = new CReplication(new ReplicationSetting())) {
            if (!run(rep, targets)) {
                System.err.println("replication: " + rep.LastError().getMessage());
                return 1;
            }
            if (!everybodyHasIt(rep)) {
                return 1;
            }
        }
        System.out.println("everybody has it");
        return 0;
    }

    /**
     * Runs the sender; ends with 1 when something went wrong.
     *
     * @param args where the root is, and the addresses of two servers
     * @throws InterruptedException when its thread is
     */
    public static void main(String[] args) throws InterruptedException {
        System.exit(replicate(args));
    }
}
