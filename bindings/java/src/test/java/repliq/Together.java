package repliq;

import java.util.concurrent.atomic.AtomicLong;

/** What Java does in a process that it shares with Python and C; see tests/abi/together.py. */
public final class Together {
    private static final AtomicLong PUT = new AtomicLong();
    private static Store store;
    private static Server server;
    private static Thread thread;

    private Together() {}

    /** Opens a store and a server of it, and says where. */
    static String open(String path) {
        store = Store.open(path);
        User user = User.of("ann", "secret").allow("replicate", "*");
        server = new Server(store, options -> options.plain(true).listen("127.0.0.1:0").users(user));
        return "repliq://ann@" + server.addresses().get(0);
    }

    /** Why a store cannot be opened. */
    static String code(String path) {
        try {
            Store.open(path).close();
            return "OK";
        } catch (RepliqException error) {
            return error.code().name();
        }
    }

    /** Begins to put so many messages. */
    static String start(String count) {
        Queue queue = store.queue("orders");
        long most = Long.parseLong(count);
        thread = new Thread(() -> {
            while (PUT.get() < most) {
                queue.put(Message.of("java"), Level.PROCESS);
                PUT.incrementAndGet();
            }
        });
        thread.start();
        return "";
    }

    /** Waits until they are put, and counts them. */
    static String join(String nothing) throws InterruptedException {
        thread.join();
        return Long.toString(PUT.get());
    }

    /** Waits for messages that never come, on another thread. */
    static String wait(String nothing) {
        Consumer consumer = store.consumer("clerk", store.queue("empty"));
        Thread waiting = new Thread(() -> consumer.receive(1));
        waiting.setDaemon(true);
        waiting.start();
        return nothing;
    }
}
