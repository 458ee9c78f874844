package repliq;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** A program on a disk that is slow, and then breaks: `gate.c` stands before it. For DurableTest. */
final class BadDisk {
    private static Path gate;

    private BadDisk() {}

    public static void main(String[] arguments) throws Exception {
        Path dir = Path.of(arguments[0]);
        gate = Path.of(System.getenv("REPLIQ_GATE"));
        // A call that waits for the gate before it should is told by where it stands.
        Thread watch = new Thread(BadDisk::watch);
        watch.setDaemon(true);
        watch.start();
        Store store = Store.open(dir.resolve("store"));
        Queue queue = store.queue("orders");
        Session session = store.session();
        Consumer consumer = store.consumer("clerk", queue);
        queue.put("first".getBytes());
        Message first = consumer.receive(1, Duration.ofSeconds(10)).get(0);
        // What commits before the gate is shut is out of the way.
        Files.createFile(gate.resolve("shut"));
        Map<String, CompletableFuture<?>> all = started(store, queue, session);
        all.put("put", CompletableFuture.supplyAsync(() -> queue.put("put".getBytes()), task -> new Thread(task).start()));
        all.put("ack", CompletableFuture.supplyAsync(() -> consumer.ack(first), task -> new Thread(task).start()));
        until(() -> Files.exists(gate.resolve("waiting")));
        for (int look = 0; look < 30; look++) {
            print("early", all);
            TimeUnit.MILLISECONDS.sleep(10);
        }
        Files.delete(gate.resolve("shut"));
        for (Map.Entry<String, CompletableFuture<?>> one : all.entrySet()) {
            Commit commit = (Commit) one.getValue().get(30, TimeUnit.SECONDS);
            System.out.println("done " + one.getKey() + " " + commit.level());
        }
        Files.createFile(gate.resolve("broken"));
        Map<String, CompletableFuture<?>> lost = started(store, queue, session);
        for (Map.Entry<String, CompletableFuture<?>> one : lost.entrySet()) {
            try {
                one.getValue().orTimeout(30, TimeUnit.SECONDS).join();
                System.out.println("stored " + one.getKey());
            } catch (CompletionException error) {
                System.out.println("lost " + one.getKey() + " " + ((RepliqException) error.getCause()).code());
            }
        }
        System.out.println("end");
        System.exit(0);
    }

    private static void watch() {
        try {
            TimeUnit.SECONDS.sleep(30);
        } catch (InterruptedException error) {
            return;
        }
        Thread.getAllStackTraces().forEach((thread, at) -> System.out.println(thread + " " + List.of(at)));
        Runtime.getRuntime().halt(9);
    }

    /** Everything that gives a future, by name; those that do not start end as they throw. */
    private static Map<String, CompletableFuture<?>> started(Store store, Queue queue, Session session) {
        Map<String, CompletableFuture<?>> all = new LinkedHashMap<>();
        start(all, "putAsync", () -> queue.putAsync("1".getBytes()));
        start(all, "putManyAsync", () -> queue.putManyAsync(List.of(Message.of("2"), Message.of("3"))));
        start(all, "storePutAsync", () -> store.putAsync(queue, Message.of("4")));
        start(all, "commitAsync", () -> {
            session.put(queue, "5".getBytes());
            return session.commitAsync();
        });
        return all;
    }

    private static void start(
            Map<String, CompletableFuture<?>> all, String name, java.util.function.Supplier<CompletableFuture<Commit>> how) {
        try {
            all.put(name, how.get());
        } catch (RepliqException error) {
            all.put(name, CompletableFuture.failedFuture(error));
        }
    }

    private static void print(String word, Map<String, CompletableFuture<?>> all) {
        all.forEach((name, future) -> {
            if (future.isDone()) {
                System.out.println(word + " " + name);
            }
        });
    }

    private static void until(java.util.function.BooleanSupplier so) throws InterruptedException {
        while (!so.getAsBoolean()) {
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }
}
