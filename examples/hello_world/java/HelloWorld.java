import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import repliq.Listener;
import repliq.Message;
import repliq.Policy;
import repliq.Queue;
import repliq.RepliqException;
import repliq.Server;
import repliq.Store;
import repliq.User;
import repliq.socketpro.CScopeUQueue;

/**
 * Tutorial one: a server that greets, sleeps and echoes.
 *
 * <p>Usage: HelloWorld [DIRECTORY [ADDRESS]]
 *
 * <p>Requests arrive from any sender of the tutorial in the queue hw_root_queue_name, or Tolocal, and each is worked on
 * once it is durable here. The answer goes into the queue "replies" in the same transaction that acknowledges the
 * request, so it is there exactly once; what is printed may be printed twice when the server is killed in between.
 */
public final class HelloWorld {
    private static final int ID_SAY_HELLO = 0x2002;
    private static final int ID_SLEEP = 0x2003;
    private static final int ID_ECHO = 0x2004;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private HelloWorld() {}

    /** Does what a request asks; throws IllegalArgumentException, or what loading throws, where it makes no sense. */
    private static String work(Message request) throws InterruptedException {
        CScopeUQueue arguments = new CScopeUQueue(request.view());
        String reply;
        switch (request.kind()) {
            case ID_SAY_HELLO:
                String first = arguments.LoadString();
                String last = arguments.LoadString();
                if (first == null || first.isEmpty()) {
                    throw new IllegalArgumentException("a greeting without a first name");
                }
                reply = "Hello " + first + " " + (last == null ? "" : last);
                break;
            case ID_SLEEP:
                int ms = arguments.LoadInt();
                if (ms < 0) {
                    throw new IllegalArgumentException("a negative sleep");
                }
                Thread.sleep(ms);
                reply = "Sleep " + ms;
                break;
            case ID_ECHO:
                reply = CMyStruct.LoadFrom(arguments).Text();
                break;
            default:
                throw new IllegalArgumentException("an unknown request");
        }
        if (arguments.GetSize() > 0) {
            throw new IllegalArgumentException("the payload is too long");
        }
        return reply;
    }

    // ANCHOR: listen
    /** Works on the requests of one queue, on a thread of its own. */
    private static Listener listen(Store store, String queue) {
        Queue replies = store.queue("replies");
        return store.consumer("hello_world", queue).listen(
                (session, request) -> {
                    String reply = work(request);
                    OUT.println(reply);
                    session.put(replies, reply.getBytes(StandardCharsets.UTF_8));
                },
                // What fails three times goes to the queue "errors", and those behind it go on.
                options -> options.policy(Policy.deadLetter(3, "errors")).retry(Duration.ofMillis(10)));
    }
    // ANCHOR_END: listen

    // ANCHOR: serve
    private static void run(String directory, String address) throws IOException {
        String queues = "hw_root_queue_name,Tolocal";
        try (Store store = Store.open(directory);
                Listener fromRoots = listen(store, "hw_root_queue_name");
                Listener fromSingles = listen(store, "Tolocal");
                Server server = new Server(store, options -> options.listen(address)
                        .plain(true)
                        .users(
                                User.of("replication", "p4localhost").allow("replicate", queues),
                                User.of("remote_rep", "PassOne").allow("replicate", queues)))) {
            OUT.println("listening on " + address + ", press Enter to end");
            // The end of the input ends the server, too.
            System.in.read();
        }
    }
    // ANCHOR_END: serve

    /**
     * Runs the server.
     *
     * @param args where its store is, and the address to listen on
     * @throws IOException when the input cannot be read
     */
    public static void main(String[] args) throws IOException {
        String directory = args.length > 0 ? args[0] : "hello_world_store";
        String address = args.length > 1 ? args[1] : "127.0.0.1:20901";
        try {
            run(directory, address);
        } catch (RepliqException error) {
            System.err.println("hello_world: " + error.getMessage());
            System.exit(1);
        }
    }
}
