package repliq.socketpro;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import repliq.Code;
import repliq.Message;

/** The CReplication face: what {@code docs/SOCKETPRO.md} promises, in its order. */
class ReplicationTest {
    private static final String ROOT = "hw_root_queue_name";

    @TempDir
    private Path folder;

    private final List<AutoCloseable> open = new ArrayList<>();

    @BeforeEach
    @AfterEach
    void forget() throws Exception {
        // Senders were opened behind the servers.
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
        open.clear();
        QueueConfigure.SetMessageQueuePassword("");
        QueueConfigure.SetWorkDirectory("./");
    }

    private Remote remote(String name) {
        Remote made = new Remote(folder.resolve(name));
        open.add(made);
        return made;
    }

    private CReplication replication() {
        return replication(setting());
    }

    private CReplication replication(ReplicationSetting setting) {
        CReplication made = new CReplication(setting);
        open.add(made);
        return made;
    }

    private ReplicationSetting setting() {
        ReplicationSetting made = new ReplicationSetting();
        made.QueueDir = folder + "/queues";
        return made;
    }

    private static CScopeUQueue names(String first, String last) {
        return new CScopeUQueue().Save(first).Save(last);
    }

    private static CScopeUQueue number(int number) {
        return new CScopeUQueue().SaveInt(number);
    }

    private static void did(CReplication of, boolean answer) {
        assertNull(of.LastError());
        assertTrue(answer);
    }

    private static void failed(CReplication of, boolean answer, Code why) {
        assertFalse(answer);
        assertNotNull(of.LastError());
        assertEquals(why, of.LastError().code(), of.LastError().getMessage());
        assertFalse(of.LastError().getMessage().isEmpty());
    }

    private static void everybodyHasIt(CReplication of) {
        Remote.soon(() -> of.getSourceQueue().getMessageCount() == 0, "everybody has it");
    }

    private static int[] kinds(List<Message> found) {
        return found.stream().mapToInt(Message::kind).toArray();
    }

    @Test
    void theFirstProgramOfTheDocumentationRuns() {
        QueueConfigure.SetMessageQueuePassword("MyQPassword");
        QueueConfigure.SetWorkDirectory(folder + "/deep/sp_test/");
        try (CReplication rep = new CReplication()) {
            CConnectionContext local =
                    new CConnectionContext("127.0.0.1", Remote.freePort(), "replication", "p4localhost");
            did(rep, rep.Start(Map.of("Tolocal", local), ROOT));
            did(rep, rep.StartJob());
            did(rep, rep.Send(0x2002, new CScopeUQueue().Save("David").Save("Young")));
            did(rep, rep.EndJob());
            assertEquals(1, rep.getSourceQueue().getMessageCount());
        }
    }

    @Test
    void theSettingsOfTheProcessAreTheDefaultsOfNewOnes() {
        assertEquals("./", QueueConfigure.GetWorkDirectory());
        ReplicationSetting before = new ReplicationSetting();
        QueueConfigure.SetWorkDirectory(folder.toString());
        assertEquals(folder + "/", QueueConfigure.GetWorkDirectory());
        ReplicationSetting made = new ReplicationSetting();
        assertEquals("./", before.QueueDir);
        assertEquals(folder + "/", made.QueueDir);
        assertFalse(made.NoAutoConn);
        assertEquals(2_592_000, made.TTL);
        assertEquals(30_000, made.RecvTimeout);
        assertEquals(30_000, made.ConnTimeout);
        made.QueueDir = "here";
        made.NoAutoConn = true;
        made.TTL = made.RecvTimeout = made.ConnTimeout = 0;
        CReplication rep = replication(made);
        made.QueueDir = "changed behind its back";
        ReplicationSetting kept = rep.getReplicationSetting();
        assertEquals("here/", kept.QueueDir);
        assertTrue(kept.NoAutoConn);
        assertEquals(ReplicationSetting.DEFAULT_TTL, kept.TTL);
        assertEquals(30_000, kept.RecvTimeout);
        assertEquals(30_000, kept.ConnTimeout);
        assertEquals(folder + "/", new CReplication().getReplicationSetting().QueueDir);
    }

    @Test
    void aConnectionHasTheDefaultsAndTheOrderOfThePage() {
        CConnectionContext plain = new CConnectionContext();
        assertEquals("localhost", plain.Host);
        assertEquals(20901, plain.Port);
        assertEquals(tagEncryptionMethod.NoEncryption, plain.EncrytionMethod);
        assertFalse(plain.Zip || plain.V6);
        assertNull(plain.AnyData);
        assertEquals("", plain.UserId + plain.Password + plain.Queue + plain.CaFile + plain.ServerName);
        CConnectionContext all =
                new CConnectionContext("h", 1, "u", "p", tagEncryptionMethod.TLSv1, true, false, 7);
        assertEquals(1, all.EncrytionMethod.getValue());
        assertTrue(all.Zip && !all.V6);
        assertEquals(7, all.AnyData);
        assertEquals("h1up", all.Host + all.Port + all.UserId + all.Password);
        assertEquals(
                tagEncryptionMethod.TLSv1,
                new CConnectionContext("h", 1, "u", "p", tagEncryptionMethod.TLSv1).EncrytionMethod);
        assertEquals('/', CReplication.DIR_SEP);
    }

    @Test
    void beforeStartEverythingIsEmptyAndEveryCallIsClosed() {
        CReplication rep = replication();
        assertNull(rep.LastError());
        failed(rep, rep.Send(0x2002), Code.CLOSED);
        failed(rep, rep.Send(0x2002, names("a", "b")), Code.CLOSED);
        failed(rep, rep.StartJob(), Code.CLOSED);
        failed(rep, rep.EndJob(), Code.CLOSED);
        failed(rep, rep.AbortJob(), Code.CLOSED);
        failed(rep, rep.DoReplication(), Code.CLOSED);
        assertFalse(rep.IsReplicable() || rep.getReplicable());
        assertEquals(0, rep.getConnections() + rep.getHosts() + rep.getQueues());
        assertTrue(rep.getTargetQueues().isEmpty());
        CClientQueue source = rep.getSourceQueue();
        assertFalse(source.getAvailable() || source.getSecure() || source.getConnected());
        assertEquals("", source.getQueueName() + source.getQueueFileName() + source.getLastError());
        assertEquals(0, source.getMessageCount() + source.getTTL());
        assertFalse(Files.exists(folder.resolve("queues")));
    }

    @Test
    void twoTargetsGetEverythingInOrderJobByJob() {
        Remote first = remote("1");
        Remote second = remote("2");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("Tolocal", first.at(), "ToLinux", second.at()), ROOT));
        assertTrue(rep.IsReplicable() && rep.getReplicable());
        assertEquals(2, rep.getHosts());
        assertEquals(3, rep.getQueues());
        Remote.soon(() -> rep.getConnections() == 2, "both are connected");
        did(rep, rep.StartJob());
        did(rep, rep.Send(0x2002, names("David", "Young")));
        did(rep, rep.Send((short) 0x9004, new byte[] {0, -1, 7}));
        did(rep, rep.EndJob());
        ByteBuffer buffer = ByteBuffer.allocateDirect(8).put(new byte[] {1, 2, 3, 4}).flip().position(1);
        did(rep, rep.Send(0x2003, number(5)));
        did(rep, rep.Send(0x2005));
        did(rep, rep.Send(0x2006, buffer));
        assertEquals(3, buffer.remaining());
        did(rep, rep.Send(0x2007, new byte[] {1, 2, 3}, 2));
        did(rep, rep.Send((short) 0x2008, buffer, 2));
        did(rep, rep.Send(0x2009, (ByteBuffer) null, 0));
        assertEquals(3, buffer.remaining());
        failed(rep, rep.Send(0x2008, buffer, 4), Code.INVALID);
        failed(rep, rep.Send(0x2008, buffer, -1), Code.INVALID);
        did(rep, rep.DoReplication());
        everybodyHasIt(rep);
        for (Remote one : List.of(first, second)) {
            List<Message> found = one.has(ROOT);
            assertArrayEquals(new int[] {0x2002, 0x9004, 0x2003, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009}, kinds(found));
            assertArrayEquals(new byte[] {2, 3}, found.get(6).payload());
            assertArrayEquals(names("David", "Young").GetBuffer(), found.get(0).payload());
            assertArrayEquals(new byte[] {0, -1, 7}, found.get(1).payload());
            assertArrayEquals(new byte[] {5, 0, 0, 0}, found.get(2).payload());
            assertArrayEquals(new byte[0], found.get(3).payload());
            assertArrayEquals(new byte[] {2, 3, 4}, found.get(4).payload());
            assertArrayEquals(new byte[] {1, 2}, found.get(5).payload());
        }
        CClientQueue source = rep.getSourceQueue();
        assertEquals(ROOT, source.getQueueName());
        assertTrue(source.getAvailable() && source.getConnected() && !source.getSecure());
        assertEquals(folder + "/queues/" + ROOT + ".repliq/", source.getQueueFileName());
        assertTrue(Files.isDirectory(Path.of(source.getQueueFileName())));
        assertEquals(ReplicationSetting.DEFAULT_TTL, source.getTTL());
        assertEquals("", source.getLastError());
        List<CClientQueue> targets = rep.getTargetQueues();
        assertEquals(2, targets.size());
        assertEquals("ToLinux", targets.get(0).getQueueName());
        assertEquals("Tolocal", targets.get(1).getQueueName());
        assertTrue(targets.get(0).getConnected());
        assertEquals(0, targets.get(0).getMessageCount());
        assertEquals(source.getQueueFileName(), targets.get(0).getQueueFileName());
    }

    @Test
    void targetsAreInTheOrderOfTheBytesOfTheirNames() {
        // In UTF-16 the second comes first.
        List<String> names = List.of("\uffee", "\ud83d\ude00");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of(names.get(0), Remote.nowhere(), names.get(1), Remote.nowhere())));
        List<String> found = new ArrayList<>();
        rep.getTargetQueues().forEach(one -> found.add(one.getQueueName()));
        assertEquals(names, found);
    }

    @Test
    void oneTargetHasNoRootAndItsQueueHasItsName() {
        Remote first = remote("1");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("Tolocal", first.at()), ROOT));
        assertFalse(rep.IsReplicable());
        assertEquals(1, rep.getHosts());
        assertEquals(1, rep.getQueues());
        did(rep, rep.Send(0x2002, names("Jack", "Smith")));
        failed(rep, rep.DoReplication(), Code.INVALID);
        everybodyHasIt(rep);
        assertEquals(1, first.has("Tolocal").size());
        assertTrue(first.has(ROOT).isEmpty());
        assertEquals("Tolocal", rep.getSourceQueue().getQueueName());
        assertTrue(Files.isDirectory(folder.resolve("queues/Tolocal.repliq")));
        assertFalse(Files.exists(folder.resolve("queues/" + ROOT + ".repliq")));
    }

    @Test
    void aConnectionMayNameAnotherQueue() {
        Remote first = remote("1");
        Remote second = remote("2");
        CConnectionContext other = first.at();
        other.Queue = "elsewhere";
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", other, "b", second.at())));
        assertEquals("replication", rep.getSourceQueue().getQueueName());
        did(rep, rep.Send(0x2002));
        everybodyHasIt(rep);
        assertEquals(1, first.has("elsewhere").size());
        assertTrue(first.has("replication").isEmpty());
        assertEquals(1, second.has("replication").size());
    }

    @Test
    void aJobThatIsGivenUpLeavesNothing() {
        Remote first = remote("1");
        try (CReplication rep = new CReplication(setting())) {
            did(rep, rep.Start(Map.of("a", first.at())));
            failed(rep, rep.EndJob(), Code.INVALID);
            failed(rep, rep.AbortJob(), Code.INVALID);
            did(rep, rep.StartJob());
            failed(rep, rep.StartJob(), Code.EXISTS);
            did(rep, rep.Send(0x2002, names("Nobody", "Here")));
            did(rep, rep.AbortJob());
            failed(rep, rep.EndJob(), Code.INVALID);
            did(rep, rep.Send(0x2003));
            everybodyHasIt(rep);
            did(rep, rep.StartJob());
            did(rep, rep.Send(0x2002, names("Nobody", "either")));
            // What is open at the end is given up.
        }
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at())));
        did(rep, rep.Send(0x2005));
        everybodyHasIt(rep);
        assertArrayEquals(new int[] {0x2003, 0x2005}, kinds(first.has("a")));
        rep.Dispose();
        failed(rep, rep.Send(0x2002), Code.CLOSED);
    }

    @Test
    void aRefusedRequestLeavesTheJobAsItWas() {
        Remote first = remote("1");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at())));
        did(rep, rep.StartJob());
        did(rep, rep.Send(0x2002, (byte[]) null));
        for (int id : new int[] {0x2001, 0, -1, 0x10000, Integer.MIN_VALUE}) {
            failed(rep, rep.Send(id), Code.INVALID);
        }
        failed(rep, rep.Send((short) 0x2001, names("a", "b")), Code.INVALID);
        failed(rep, rep.Send(0x2002, new byte[4], 5), Code.INVALID);
        failed(rep, rep.Send(0x2002, new byte[4], -1), Code.INVALID);
        failed(rep, rep.Send(0x2002, new byte[(16 << 20) + 1]), Code.TOO_LARGE);
        did(rep, rep.Send((short) 0xFFFF));
        did(rep, rep.EndJob());
        everybodyHasIt(rep);
        assertArrayEquals(new int[] {0x2002, 0xFFFF}, kinds(first.has("a")));
    }

    @Test
    void leftoversGoOutAfterTheNextStart() {
        Remote first = remote("1");
        Remote second = remote("2");
        Map<String, CConnectionContext> where = Map.of("a", first.at(), "b", second.at());
        first.down();
        second.down();
        QueueConfigure.SetMessageQueuePassword("kept");
        try (CReplication rep = new CReplication(setting())) {
            did(rep, rep.Start(where, ROOT));
            did(rep, rep.Send(0x2002, names("Jack", "Smith")));
            did(rep, rep.StartJob());
            did(rep, rep.Send(0x2003, number(1)));
            did(rep, rep.Send(0x2003, number(2)));
            did(rep, rep.EndJob());
            assertEquals(0, rep.getConnections());
            assertEquals(3, rep.getSourceQueue().getMessageCount());
            assertTrue(rep.getSourceQueue().getSecure());
        }
        first.up();
        second.up();
        CReplication rep = replication();
        did(rep, rep.Start(where, ROOT));
        everybodyHasIt(rep);
        assertEquals(3, first.has(ROOT).size());
        assertEquals(3, second.has(ROOT).size());
    }

    @Test
    void aServerThatGoesAndComesGetsEverythingOnce() {
        Remote first = remote("1");
        Remote second = remote("2");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at(), "b", second.at()), ROOT));
        Remote.soon(() -> rep.getConnections() == 2, "both are connected");
        first.down();
        did(rep, rep.Send(0x2002));
        Remote.soon(() -> rep.getConnections() == 1, "one is gone");
        Remote.soon(() -> rep.getTargetQueues().get(1).getMessageCount() == 0, "the other has it");
        CClientQueue gone = rep.getTargetQueues().get(0);
        assertEquals(1, gone.getMessageCount());
        assertFalse(gone.getConnected());
        assertTrue(gone.getAvailable());
        Remote.soon(() -> !rep.getTargetQueues().get(0).getLastError().isEmpty(), "it says why");
        did(rep, rep.Send(0x2003));
        first.up();
        everybodyHasIt(rep);
        assertEquals(2, rep.getConnections());
        assertEquals(2, first.has(ROOT).size());
        assertEquals(2, second.has(ROOT).size());
    }

    @Test
    void withoutAutoConnThereIsOneTry() {
        Remote first = remote("1");
        Map<String, CConnectionContext> where = Map.of("a", first.at());
        ReplicationSetting once = setting();
        once.NoAutoConn = true;
        CReplication rep = replication(once);
        did(rep, rep.Start(where));
        did(rep, rep.Send(0x2002));
        everybodyHasIt(rep);
        first.down();
        Remote.soon(() -> rep.getConnections() == 0, "the connection is lost");
        first.up();
        did(rep, rep.Send(0x2003));
        // A link that came back by itself would have done so many times by now.
        Remote.pause(600);
        assertEquals(0, rep.getConnections());
        assertEquals(1, rep.getSourceQueue().getMessageCount());
        did(rep, rep.Start(where));
        everybodyHasIt(rep);
        assertEquals(2, first.has("a").size());
    }

    @Test
    void aRequestExpiresAfterItsTtl() {
        Remote first = remote("1");
        Map<String, CConnectionContext> where = Map.of("a", first.at());
        first.down();
        ReplicationSetting brief = setting();
        brief.TTL = 1;
        try (CReplication rep = new CReplication(brief)) {
            did(rep, rep.Start(where));
            did(rep, rep.Send(0x2002));
        }
        Remote.pause(1100);
        first.up();
        CReplication rep = replication();
        long before = System.currentTimeMillis();
        did(rep, rep.Start(where));
        did(rep, rep.Send(0x2003));
        everybodyHasIt(rep);
        long after = System.currentTimeMillis();
        try (repliq.Consumer clerk = first.store().consumer("clerk", "a")) {
            List<Message> found = clerk.receive(10, Duration.ofSeconds(1));
            assertArrayEquals(new int[] {0x2003}, kinds(found));
            Instant expires = found.get(0).expires().orElseThrow();
            long lived = expires.toEpochMilli() - 1000L * ReplicationSetting.DEFAULT_TTL;
            assertTrue(before <= lived && lived <= after, expires.toString());
        }
    }

    @Test
    void anotherPasswordOpensNothing() {
        Map<String, CConnectionContext> where = Map.of("a", Remote.nowhere());
        QueueConfigure.SetMessageQueuePassword("first");
        try (CReplication rep = new CReplication(setting())) {
            did(rep, rep.Start(where));
            did(rep, rep.Send(0x2002));
        }
        CReplication rep = replication();
        QueueConfigure.SetMessageQueuePassword("second");
        failed(rep, rep.Start(where), Code.BAD_PASSWORD);
        failed(rep, rep.Send(0x2002), Code.CLOSED);
        assertEquals(0, rep.getHosts());
        QueueConfigure.SetMessageQueuePassword(null);
        failed(rep, rep.Start(where), Code.BAD_PASSWORD);
        QueueConfigure.SetMessageQueuePassword("first");
        did(rep, rep.Start(where));
        assertEquals(1, rep.getSourceQueue().getMessageCount());
    }

    @Test
    void aServerThatRefusesMakesNoCallFailAndSaysWhy() {
        Remote first = remote("1");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at("wrong"))));
        did(rep, rep.Send(0x2002));
        Remote.soon(() -> rep.getTargetQueues().get(0).getLastError().contains("DENIED"), "it says why");
        assertEquals(0, rep.getConnections());
        assertEquals(1, rep.getSourceQueue().getMessageCount());
        did(rep, rep.Start(Map.of("a", first.at())));
        everybodyHasIt(rep);
    }

    /** Starts with a good connection and with one that was changed. */
    private static boolean start(CReplication rep, Consumer<CConnectionContext> change) {
        CConnectionContext to = Remote.nowhere();
        change.accept(to);
        return rep.Start(Map.of("good", Remote.nowhere(), "bad", to), ROOT);
    }

    @Test
    void aBadStartSaysWhatIsWrongAndOpensNothing() {
        CReplication rep = replication();
        failed(rep, rep.Start(null), Code.INVALID);
        failed(rep, rep.Start(Map.of()), Code.INVALID);
        Map<String, CConnectionContext> none = new HashMap<>();
        none.put("a", null);
        failed(rep, rep.Start(none), Code.INVALID);
        none.clear();
        none.put(null, Remote.nowhere());
        failed(rep, rep.Start(none), Code.INVALID);
        for (String name : new String[] {"", "a/b", "a\0b", "\u007f", "\ud800"}) {
            failed(rep, rep.Start(Map.of(name, Remote.nowhere())), Code.INVALID);
        }
        failed(rep, rep.Start(Map.of("x".repeat(248), Remote.nowhere())), Code.TOO_LARGE);
        failed(rep, rep.Start(Map.of("\u00fc".repeat(124), Remote.nowhere())), Code.TOO_LARGE);
        failed(rep, rep.Start(Map.of("a", Remote.nowhere(), "b", Remote.nowhere()), "../up"), Code.INVALID);
        failed(rep, start(rep, to -> to.Host = ""), Code.INVALID);
        failed(rep, start(rep, to -> to.Host = "no host"), Code.INVALID);
        failed(rep, start(rep, to -> to.Port = 0), Code.INVALID);
        failed(rep, start(rep, to -> to.Port = 65_536), Code.INVALID);
        failed(rep, start(rep, to -> to.UserId = null), Code.INVALID);
        failed(rep, start(rep, to -> to.V6 = true), Code.INVALID);
        failed(rep, start(rep, to -> to.Zip = true), Code.UNSUPPORTED);
        failed(rep, start(rep, to -> to.EncrytionMethod = null), Code.INVALID);
        failed(rep, start(rep, to -> to.CaFile = "a\0b"), Code.INVALID);
        assertEquals(0, rep.getHosts());
        failed(rep, rep.Send(0x2002), Code.CLOSED);
        did(rep, start(rep, to -> {
            to.Host = "::1";
            to.V6 = true;
        }));
        assertEquals(2, rep.getHosts());
    }

    @Test
    void aSettingThatCannotWorkIsRefusedByStart() throws IOException {
        for (int timeout : new int[] {3_600_001, -1}) {
            ReplicationSetting slow = setting();
            slow.ConnTimeout = timeout;
            CReplication never = replication(slow);
            failed(never, never.Start(Map.of("a", Remote.nowhere())), Code.INVALID);
        }
        ReplicationSetting odd = setting();
        odd.QueueDir = "a\0b";
        CReplication nothing = replication(odd);
        failed(nothing, nothing.Start(Map.of("a", Remote.nowhere())), Code.INVALID);
        Files.writeString(folder.resolve("file"), "x");
        ReplicationSetting blocked = setting();
        blocked.QueueDir = folder + "/file/queues";
        CReplication nowhereToGo = replication(blocked);
        assertFalse(nowhereToGo.Start(Map.of("a", Remote.nowhere())));
        assertNotNull(nowhereToGo.LastError());
    }

    @Test
    void aRootIsOpenOnce() {
        CReplication one = replication();
        CReplication two = replication();
        did(one, one.Start(Map.of("a", Remote.nowhere())));
        failed(two, two.Start(Map.of("a", Remote.nowhere())), Code.LOCKED);
        did(one, one.Send(0x2002));
        assertNull(two.LastError());
        did(two, two.Start(Map.of("b", Remote.nowhere())));
        did(two, two.Send(0x2002));
    }

    @Test
    void aSecondStartClosesWhatWasOpen() {
        Remote first = remote("1");
        Remote second = remote("2");
        Map<String, CConnectionContext> where = Map.of("a", first.at(), "b", second.at());
        CReplication rep = replication();
        did(rep, rep.Start(where, ROOT));
        did(rep, rep.StartJob());
        did(rep, rep.Send(0x2002));
        did(rep, rep.Start(where, ROOT));
        failed(rep, rep.EndJob(), Code.INVALID);
        did(rep, rep.Send(0x2003));
        everybodyHasIt(rep);
        assertArrayEquals(new int[] {0x2003}, kinds(first.has(ROOT)));
        assertArrayEquals(new int[] {0x2003}, kinds(second.has(ROOT)));
        failed(rep, rep.Start(Map.of()), Code.INVALID);
        assertEquals(0, rep.getHosts());
    }

    @Test
    void aNewTargetBeginsWithTheOldestMessageKept() {
        Remote first = remote("1");
        Remote second = remote("2");
        Remote third = remote("3");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at(), "b", Remote.nowhere()), ROOT));
        did(rep, rep.Send(0x2002));
        Remote.soon(() -> rep.getTargetQueues().get(0).getMessageCount() == 0, "the first has it");
        did(rep, rep.Start(Map.of("a", first.at(), "b", second.at(), "c", third.at()), ROOT));
        everybodyHasIt(rep);
        for (Remote one : List.of(first, second, third)) {
            assertEquals(1, one.has(ROOT).size());
        }
    }

    @Test
    void manyThreadsSendIntoOneJob() throws InterruptedException {
        Remote first = remote("1");
        Remote second = remote("2");
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", first.at(), "b", second.at()), ROOT));
        did(rep, rep.StartJob());
        AtomicInteger sent = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        for (int thread = 0; thread < 4; thread++) {
            int base = thread * 100;
            threads.add(new Thread(() -> {
                for (int i = 0; i < 50; i++) {
                    sent.addAndGet(rep.Send(0x2003, number(base + i)) ? 1 : 0);
                }
            }));
        }
        threads.forEach(Thread::start);
        for (Thread one : threads) {
            one.join();
        }
        assertEquals(200, sent.get());
        Remote.pause(50);
        assertTrue(first.has(ROOT).isEmpty());
        did(rep, rep.EndJob());
        everybodyHasIt(rep);
        assertEquals(200, second.has(ROOT).size());
        List<Message> found = first.has(ROOT);
        assertEquals(200, found.size());
        int[] next = new int[4];
        for (Message one : found) {
            int number = new CScopeUQueue(one.payload()).LoadInt();
            assertEquals(next[number / 100]++, number % 100);
        }
    }

    @Test
    void errorsOfTwoThreadsAreTheirOwn() throws InterruptedException {
        CReplication rep = replication();
        did(rep, rep.Start(Map.of("a", Remote.nowhere())));
        failed(rep, rep.Send(1), Code.INVALID);
        AtomicBoolean own = new AtomicBoolean();
        Thread other = new Thread(() -> own.set(rep.LastError() == null && rep.Send(0x2002)));
        other.start();
        other.join();
        assertTrue(own.get());
        assertEquals(Code.INVALID, rep.LastError().code());
        did(rep, rep.Send(0x2002));
    }

    @Test
    void closingWhileOthersSendAnswersTrueOrClosed() throws InterruptedException {
        CReplication rep = replication();
        Map<String, CConnectionContext> where = Map.of("a", Remote.nowhere());
        did(rep, rep.Start(where));
        AtomicBoolean over = new AtomicBoolean();
        AtomicInteger stored = new AtomicInteger();
        AtomicReference<Object> wrong = new AtomicReference<>();
        Thread sender = new Thread(() -> {
            while (!over.get()) {
                try {
                    if (rep.Send(0x2002)) {
                        stored.incrementAndGet();
                    } else if (rep.LastError().code() != Code.CLOSED) {
                        wrong.set(rep.LastError());
                    }
                } catch (RuntimeException error) {
                    wrong.set(error);
                }
            }
        });
        sender.start();
        for (int i = 0; i < 5; i++) {
            if (!rep.Start(where)) {
                Code why = rep.LastError().code();
                assertTrue(why == Code.LOCKED || why == Code.BUSY, rep.LastError().getMessage());
            }
            Remote.pause(20);
        }
        over.set(true);
        sender.join();
        assertNull(wrong.get());
        assertTrue(stored.get() > 0);
        did(rep, rep.Start(where));
        assertEquals(stored.get(), rep.getSourceQueue().getMessageCount());
    }

    @Test
    void whatIsForgottenIsClosedByTheCollector() {
        Map<String, CConnectionContext> where = Map.of("a", Remote.nowhere());
        forget(where);
        CReplication rep = replication();
        Remote.soon(
                () -> {
                    System.gc();
                    return rep.Start(where);
                },
                "the root is free again");
        assertEquals(1, rep.getSourceQueue().getMessageCount());
    }

    private void forget(Map<String, CConnectionContext> where) {
        CReplication forgotten = new CReplication(setting());
        did(forgotten, forgotten.Start(where));
        did(forgotten, forgotten.Send(0x2002));
    }
}
