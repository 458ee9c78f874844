package repliq;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A program on the library with planted panics, for PanicTest: it prints what each call said. */
final class Sabotage {
    private static final int AT_THE_EDGE = 1;
    private static final int INSIDE_A_HANDLE = 2;
    private static final int IN_A_LISTENER = 3;
    private static final Duration NOT_AT_ALL = Duration.ZERO;

    private Sabotage() {}

    /** The next call of this thread panics there. Only the library of the tests has it. */
    static native void panic(int place);

    /** One open object of each kind, and calls of it by name. */
    private static Map<String, Runnable> calls(Store store) {
        Queue queue = store.queue("orders");
        Queue root = store.queue("root");
        Token token = queue.put("1".getBytes()).token();
        Consumer consumer = store.consumer("clerk", queue);
        Snapshot snapshot = store.snapshot();
        TransactionId id = store.session().id();
        Port port = Port.open();
        Replication replication = new Replication(root);
        Server server = new Server(store, o -> o.plain(true).listen("127.0.0.1:0").users(User.of("u", "p")));
        Listener listener = store.consumer("ear", store.queue("quiet")).listen((session, message) -> { });
        Map<String, Runnable> calls = new LinkedHashMap<>();
        calls.put("Store.queue", () -> store.queue("other"));
        calls.put("Store.status", store::status);
        calls.put("Store.session", () -> store.session().close());
        calls.put("Store.resolve", () -> store.resolve(id));
        calls.put("Store.prepared", store::prepared);
        calls.put("Store.await", () -> store.await(token, Place.HERE));
        calls.put("Store.awaitAsync", () -> store.awaitAsync(token, Place.HERE).join());
        calls.put("Store.consumer", () -> store.consumer("other", queue).close());
        calls.put("Queue.put", () -> queue.put("2".getBytes()));
        calls.put("Queue.putAsync", () -> queue.putAsync("3".getBytes()).join());
        calls.put("Queue.pause", queue::pause);
        calls.put("Queue.resume", queue::resume);
        calls.put("Consumer.receive", () -> consumer.receive(1, NOT_AT_ALL));
        calls.put("Consumer.ack", () -> consumer.ackSequences(List.of(1L)));
        calls.put("Consumer.seek", () -> consumer.seek(1));
        calls.put("Snapshot.browse", () -> snapshot.browse(queue, 1, 1));
        calls.put("Port.drain", () -> port.drain(1, NOT_AT_ALL));
        calls.put("Port.fd", port::fd);
        calls.put("Replication.send", () -> replication.send(1, new byte[1]));
        calls.put("Replication.status", replication::status);
        calls.put("Server.status", server::status);
        calls.put("Server.reload", () -> code(server::reload));
        calls.put("Listener.status", listener::status);
        return calls;
    }

    /** Those of a session, which each get one of their own. */
    private static Map<String, java.util.function.Consumer<Session>> sessions(Store store, Queue queue, Consumer consumer) {
        ByteBuffer large = ByteBuffer.allocate(8 << 10);
        Map<String, java.util.function.Consumer<Session>> calls = new LinkedHashMap<>();
        calls.put("Session.put", session -> session.put(queue, "4".getBytes()));
        calls.put("Session.put array", session -> session.put(queue, new byte[8 << 10]));
        calls.put("Session.put buffer", session -> session.put(queue, large));
        calls.put("Session.putMany", session -> session.putMany(queue, List.of(Message.of("5"), Message.of("6"))));
        calls.put("Session.receive", session -> session.receive(consumer, 1, NOT_AT_ALL));
        calls.put("Session.id", Session::id);
        calls.put("Session.prepare", session -> session.prepare());
        calls.put("Session.commit", session -> code(session::commit));
        calls.put("Session.commitAsync", session -> code(() -> session.commitAsync().join()));
        calls.put("Session.rollback", Session::rollback);
        return calls;
    }

    public static void main(String[] arguments) throws Exception {
        int said = 0;
        try (Store store = Store.open(Path.of(arguments[0]).resolve("store"))) {
            Map<String, Runnable> calls = calls(store);
            for (Map.Entry<String, Runnable> one : calls.entrySet()) {
                for (int place : new int[] {AT_THE_EDGE, INSIDE_A_HANDLE}) {
                    expect(one.getKey() + " at " + place, Code.PANIC, () -> {
                        panic(place);
                        one.getValue().run();
                    });
                    expect(one.getKey() + " behind it", Code.OK, one.getValue());
                    said++;
                }
            }
            Queue queue = store.queue("orders");
            Consumer consumer = store.consumer("other", queue);
            for (Map.Entry<String, java.util.function.Consumer<Session>> one : sessions(store, queue, consumer).entrySet()) {
                for (int place : new int[] {AT_THE_EDGE, INSIDE_A_HANDLE}) {
                    Session session = store.session();
                    session.put(queue, "never".getBytes());
                    expect(one.getKey() + " at " + place, Code.PANIC, () -> {
                        panic(place);
                        one.getValue().accept(session);
                    });
                    // What was in the middle of something is of no use any more, and can be closed. A receive looks the
                    // consumer up before.
                    boolean whole = place == AT_THE_EDGE || one.getKey().equals("Session.receive");
                    expect(one.getKey() + " behind it", whole ? Code.OK : Code.PANIC, () -> {
                        session.rollback();
                        one.getValue().accept(session);
                        session.rollback();
                    });
                    session.close();
                    said++;
                }
            }
        }
        try (Store store = Store.open(Path.of(arguments[0]).resolve("store"))) {
            panic(IN_A_LISTENER);
            Listener dying = store.consumer("dying", "orders").listen((session, message) -> { });
            while (dying.status().ended().isEmpty()) {
                TimeUnit.MILLISECONDS.sleep(1);
            }
            System.out.println("a listener ended with " + dying.status().ended().get().code());
            dying.close();
        }
        expect("Store.open", Code.PANIC, () -> {
            panic(AT_THE_EDGE);
            Store.open(Path.of(arguments[0]).resolve("store"));
        });
        // The listener that panicked as it began gave its consumer back, or it ends with its store.
        try (Store store = Store.open(Path.of(arguments[0]).resolve("store"))) {
            store.queue("orders").put("end".getBytes());
        }
        System.out.println("calls " + said);
        TimeUnit.MILLISECONDS.sleep(300);
    }

    /** A call whose own refusals are of no interest here. */
    private static void code(Runnable call) {
        try {
            call.run();
        } catch (RepliqException error) {
            if (error.code() == Code.PANIC) {
                throw error;
            }
        }
    }

    private static void expect(String what, Code code, Runnable call) {
        Code found = Code.OK;
        try {
            call.run();
        } catch (RepliqException error) {
            found = error.code();
        }
        if (found != code) {
            throw new IllegalStateException(what + ": " + found + ", not " + code);
        }
    }
}
