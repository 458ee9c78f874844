package repliq.conformance;

import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import repliq.AfterDeadLetter;
import repliq.Commit;
import repliq.Consumer;
import repliq.Event;
import repliq.From;
import repliq.Header;
import repliq.Level;
import repliq.Message;
import repliq.Outcome;
import repliq.Place;
import repliq.Port;
import repliq.Prepared;
import repliq.Queue;
import repliq.Redriven;
import repliq.Replication;
import repliq.Server;
import repliq.Session;
import repliq.Snapshot;
import repliq.Store;
import repliq.TargetStatus;
import repliq.Token;
import repliq.TransactionId;
import repliq.User;

/** What a script has open, and what each verb does with it. */
final class World implements AutoCloseable {
    private static final int PATIENCE_MS = 20_000;
    /** In the order in which they are closed. */
    private static final List<Class<?>> KINDS = List.of(
        Server.class, Replication.class, Port.class, Session.class, Consumer.class, Snapshot.class, Store.class);

    private interface Verb {
        void run(Step step) throws Exception;
    }

    private interface Read {
        List<Message> read(int left, long last);
    }

    private final Path folder;
    private final Map<Class<?>, Map<String, Object>> named = new HashMap<>();
    private final Map<String, Token> tokens = new HashMap<>();
    private final Map<String, Verb> verbs = new HashMap<>();
    private List<Message> found = List.of();
    /** What a target said in its status, as a refusal. */
    private String said = "";
    /** How every store is used at a server: "tcp" or "unix"; empty where they are in their directories. */
    private final String way;
    /** The directories and servers behind the stores that the run serves itself, in the order in which they are closed. */
    private final Map<String, List<AutoCloseable>> own = new LinkedHashMap<>();
    private int sockets;
    private final Map<String, Path> socketOf = new HashMap<>();
    private final Map<String, TransactionId> ids = new HashMap<>();

    World(Path folder, String way) {
        this.folder = folder;
        this.way = way;
        stores();
        served();
        identities();
        prepared();
        queues();
        sessions();
        consumers();
        tokens();
        network();
        files();
    }

    /** What a target said in this step; empty for nothing. */
    String said() {
        String last = said;
        said = "";
        return last;
    }

    void run(Step step) throws Exception {
        Verb verb = verbs.get(step.word(0));
        if (verb == null) {
            throw new Wrong("no verb " + step.word(0));
        }
        verb.run(step);
    }

    private <T> T get(Class<T> kind, String name) {
        Object one = named.getOrDefault(kind, Map.of()).get(name);
        if (one == null) {
            throw new Wrong(name + " is not open");
        }
        return kind.cast(one);
    }

    private void set(String name, Object made) {
        named.computeIfAbsent(made.getClass(), kind -> new LinkedHashMap<>()).put(name, made);
    }

    @Override
    public void close() throws Exception {
        for (Class<?> kind : KINDS) {
            for (Object one : named.getOrDefault(kind, Map.of()).values()) {
                ((AutoCloseable) one).close();
            }
        }
        for (String name : List.copyOf(own.keySet())) {
            closed(name);
        }
    }

    /** Ends the server that the run has of its own for this store, and the store behind it. */
    private void closed(String name) throws Exception {
        for (AutoCloseable one : own.containsKey(name) ? own.remove(name) : List.<AutoCloseable>of()) {
            one.close();
        }
    }

    private void close(Step step) throws Exception {
        boolean any = false;
        for (Class<?> kind : KINDS) {
            Object one = named.getOrDefault(kind, Map.of()).get(step.word(1));
            if (one != null) {
                ((AutoCloseable) one).close();
                any = true;
            }
            if (one instanceof Store) {
                closed(step.word(1));
            }
        }
        if (!any) {
            throw new Wrong(step.word(1) + " is not open");
        }
    }

    private Store store(Step step, int at) {
        return get(Store.class, step.word(at));
    }

    private Queue queue(Step step, int at) {
        return get(Queue.class, step.word(at));
    }

    private Session session(Step step) {
        return get(Session.class, step.word(1));
    }

    private Consumer consumer(Step step, int at) {
        return get(Consumer.class, step.word(at));
    }

    private Replication replication(Step step) {
        return get(Replication.class, step.word(1));
    }

    private void keep(Step step, Commit commit) {
        String name = step.field("token");
        if (name != null) {
            tokens.put(name, commit.token());
        }
    }

    private static Level level(Step step) {
        String name = step.field("level");
        return name == null ? null : Level.valueOf(name.toUpperCase(java.util.Locale.ROOT));
    }

    private void stores() {
        verbs.put("open", this::open);
        verbs.put("backup", step -> store(step, 1).backup(folder.resolve(step.word(2))));
        verbs.put("restore", step -> {
            byte[] password = step.field("password") == null ? null : Step.raw(step.fields().get("password"));
            Store.restore(folder.resolve(step.word(1)), folder.resolve(step.word(2)), options -> {
                if (password != null) {
                    options.password(password);
                }
            });
        });
        verbs.put("password", step -> store(step, 1).changePassword(step.word(2)));
        verbs.put("close", this::close);
        verbs.put("snapshot", step -> set(step.word(1), store(step, 2).snapshot()));
        verbs.put("browse", step -> {
            Snapshot snapshot = get(Snapshot.class, step.word(1));
            Queue of = queue(step, 2);
            long first = step.number(3);
            read((left, last) -> snapshot.browse(of, last == 0 ? first : last + 1, left), step.count(4), step.rest(5));
        });
        verbs.put("check", this::check);
        verbs.put("status", this::status);
    }

    private void open(Step step) {
        String path = step.word(2).isEmpty() ? "" : folder + "/" + step.word(2);
        Store opened = Store.open(path, options -> {
            options.create(!"no".equals(step.field("create"))).readOnly("yes".equals(step.field("read_only")));
            if (step.field("level") != null) {
                options.level(level(step));
            }
            if ("process".equals(step.field("horizon"))) {
                options.horizon(Level.PROCESS);
            }
            if (step.field("segment_bytes") != null) {
                options.segmentBytes(Long.parseLong(step.field("segment_bytes")));
            }
            if (step.field("password") != null) {
                options.password(Step.raw(step.fields().get("password")));
            }
        });
        set(step.word(1), way.isEmpty() ? opened : serve(step.word(1), opened));
    }

    /** Serves a store to this run, and gives what its URL opens. */
    private Store serve(String name, Store opened) {
        Path socket = folder.resolve("socket." + ++sockets);
        boolean unix = way.equals("unix");
        Server server = new Server(opened, options -> options.plain(true)
            .listen(unix ? "unix:" + socket : "127.0.0.1:0")
            .users(User.of("script", "secret").allow("replicate,publish,browse,consume,admin", "*")));
        own.put(name, List.of(server, opened));
        String url = unix ? "repliq+unix://script@" + socket : "repliq://script@" + server.addresses().get(0);
        return Store.open(url, options -> options.plain(true).password("secret"));
    }

    private void served() {
        // What follows is for a directory, and so is this run; another one ends before it gets here.
        verbs.put("local", step -> { });
        verbs.put("connect", step -> {
            Path socket = socketOf.get(step.word(2));
            connect(step, socket == null ? "repliq://" + address(step.word(2)) : "repliq+unix://" + socket);
        });
        verbs.put("connect_at", step -> connect(step, step.word(2)));
    }

    private void connect(Step step, String url) {
        set(step.word(1), Store.open(url, options -> {
            options.reconnectMax(Duration.ofMillis(200)).plain(step.field("ca") == null);
            if (step.field("user") != null) {
                options.user(step.field("user"));
            }
            if (step.field("password") != null) {
                options.password(Step.raw(step.fields().get("password")));
            }
            if (step.field("ca") != null) {
                options.caFile(Path.of(step.field("ca")));
            }
        }));
    }

    private void identities() {
        verbs.put("id", step -> ids.put(step.word(2), session(step).id()));
        verbs.put("parse_id", step -> ids.put(step.word(1), TransactionId.parse(step.bytes(2))));
        verbs.put("round_trip_id", step -> {
            TransactionId one = identity(step, 1);
            TransactionId again = TransactionId.parse(one.text());
            if (!again.equals(one) || !TransactionId.parse(one.toBytes()).equals(one)
                    || again.hashCode() != one.hashCode()) {
                throw new Wrong("the round trip gave another identity");
            }
        });
        verbs.put("resolve", step -> {
            Outcome found = store(step, 1).resolve(identity(step, 2));
            String state = found.state().name().toLowerCase(java.util.Locale.ROOT);
            if (!state.equals(step.word(3))) {
                throw new Wrong("the outcome is " + state);
            }
            if (found.token().isPresent() != (found.state() == Outcome.State.COMMITTED)) {
                throw new Wrong("a token goes with a commit and with nothing else");
            }
            if (step.field("token") != null) {
                found.token().ifPresent(token -> tokens.put(step.field("token"), token));
            }
        });
    }

    private void prepared() {
        verbs.put("prepare", step -> ids.put(step.word(3), session(step).prepare(step.bytes(2))));
        verbs.put("finish", step -> keep(step,
            store(step, 1).finish(identity(step, 2), "commit".equals(step.word(3)))));
        verbs.put("prepared", step -> {
            List<Prepared> prepared = store(step, 1).prepared();
            String text = prepared.stream().map(World::told).collect(Collectors.joining("\n"));
            if (prepared.size() != step.number(2)) {
                throw new Wrong(prepared.size() + " are prepared: " + text);
            }
            for (String one : step.names(3)) {
                if (!text.contains(one)) {
                    throw new Wrong("no " + one + " in " + text);
                }
            }
        });
    }

    /** In the words of the JSON that the other languages have. */
    private static String told(Prepared one) {
        StringBuilder xid = new StringBuilder();
        for (byte part : one.xid()) {
            xid.append(String.format("%02x", part));
        }
        return "{\"transaction\":\"" + one.id() + "\",\"xid\":\"" + xid + "\",\"user\":\"" + one.user() + "\",\"messages\":"
            + one.messages() + ",\"bytes\":" + one.bytes() + ",\"held\":" + one.held() + ",\"state\":\""
            + one.state().name().toLowerCase(Locale.ROOT) + "\"}";
    }

    private TransactionId identity(Step step, int at) {
        TransactionId one = ids.get(step.word(at));
        if (one == null) {
            throw new Wrong(step.word(at) + " is not open");
        }
        return one;
    }

    private void status(Step step) throws InterruptedException {
        long end = System.nanoTime() + Long.parseLong(step.field("within", "0")) * 1_000_000;
        for (;;) {
            String text = statusText(step.word(1));
            List<String> missing =
                step.names(2).stream().filter(one -> !text.contains(one)).collect(Collectors.toList());
            if (missing.isEmpty()) {
                return;
            }
            if (System.nanoTime() >= end) {
                throw new Wrong("no " + missing.get(0) + " in " + text);
            }
            Thread.sleep(5);
        }
    }

    private String statusText(String name) {
        if (named.getOrDefault(Server.class, Map.of()).containsKey(name)) {
            return get(Server.class, name).status().text();
        }
        if (named.getOrDefault(Replication.class, Map.of()).containsKey(name)) {
            return get(Replication.class, name).status().text();
        }
        return get(Store.class, name).status().text();
    }

    private void queues() {
        verbs.put("queue", step -> set(step.word(2), store(step, 1).queue(step.word(3))));
        verbs.put("pause", step -> queue(step, 2).pause());
        verbs.put("resume", step -> queue(step, 2).resume());
        verbs.put("purge", step -> queue(step, 2).purge());
        verbs.put("delete", step -> queue(step, 2).delete());
        verbs.put("redrive", step -> {
            Redriven done = queue(step, 2).redrive(number(step, "max"), step.field("drop", "no").equals("yes"));
            if (done.done() != step.number(3) || done.refused().size() != step.number(4)) {
                throw new Wrong(done.toString());
            }
        });
        verbs.put("put", step -> {
            Queue to = queue(step, 2);
            List<Message> all = messages(step, 3);
            Level level = level(step);
            if (all.size() == 1) {
                keep(step, level == null ? to.put(all.get(0)) : to.put(all.get(0), level));
            } else {
                keep(step, level == null ? to.putMany(all) : to.putMany(all, level));
            }
        });
        verbs.put("port", step -> set(step.word(1), Port.open()));
        verbs.put("put_start",
            step -> queue(step, 2).putStart(messages(step, 5), get(Port.class, step.word(3)), step.number(4)));
        verbs.put("drain", this::drain);
    }

    private void drain(Step step) {
        Port port = get(Port.class, step.word(1));
        List<Long> wanted = step.numbers(3);
        List<Long> ended = new ArrayList<>();
        while (ended.size() < wanted.size()) {
            List<Event> events = port.drain(wanted.size() - ended.size(), step.time(2));
            if (events.isEmpty()) {
                break;
            }
            for (Event event : events) {
                if (event.error().isPresent()) {
                    throw event.error().get();
                }
                ended.add(event.tag());
            }
        }
        if (!ended.stream().sorted().collect(Collectors.toList())
                .equals(wanted.stream().sorted().collect(Collectors.toList()))) {
            throw new Wrong("ended: " + ended);
        }
    }

    /** The messages of a step, one a text, all with the same fields. */
    private static List<Message> messages(Step step, int first) {
        List<Message> messages = new ArrayList<>();
        for (byte[] payload : step.rest(first)) {
            // Both ways in are used: an array, and a direct buffer.
            ByteBuffer direct = ByteBuffer.allocateDirect(payload.length).put(payload);
            direct.flip();
            boolean array = messages.size() % 2 == 0;
            Message.Builder message = array ? Message.builder(payload) : Message.builder(direct);
            step.fields().keySet().forEach(name -> field(message, step, name));
            messages.add(message.build());
        }
        return messages;
    }

    private static void field(Message.Builder message, Step step, String name) {
        byte[] raw = Step.raw(step.fields().get(name));
        String value = step.field(name);
        switch (name) {
            case "kind":
                message.kind(Integer.parseInt(value));
                break;
            case "priority":
                message.priority(Integer.parseInt(value));
                break;
            case "key":
                message.key(raw);
                break;
            case "producer":
            case "producer_sequence":
                message.producer(step.field("producer", ""), Long.parseLong(step.field("producer_sequence", "0")));
                break;
            case "deliver_at_ms":
                message.deliverAt(Instant.ofEpochMilli(Long.parseLong(value)));
                break;
            case "expires":
                message.expires(Instant.now().plusMillis(Long.parseLong(value)));
                break;
            case "level":
            case "token":
                break;
            default:
                if (!name.startsWith("header.")) {
                    throw new Wrong("no field " + name);
                }
                message.header(name.substring(7), raw);
        }
    }

    private void sessions() {
        verbs.put("session", step -> set(step.word(1), store(step, 2).session(options -> options
            .name(step.field("name", "")).takeover("yes".equals(step.field("takeover")))
            .idle(Duration.ofMillis(number(step, "idle_ms"))).bytesMax(number(step, "bytes_max")))));
        verbs.put("session_put", step -> {
            List<Message> all = messages(step, 3);
            if (all.size() == 1) {
                session(step).put(queue(step, 2), all.get(0));
            } else {
                session(step).putMany(queue(step, 2), all);
            }
        });
        verbs.put("session_receive", step -> {
            Session session = session(step);
            Consumer consumer = consumer(step, 2);
            read((left, last) -> session.receive(consumer, left, step.time(4)), step.count(3), step.rest(5));
        });
        verbs.put("commit", step -> keep(step, session(step).commit()));
        verbs.put("commit_start",
            step -> session(step).commitStart(get(Port.class, step.word(2)), step.number(3)));
        verbs.put("rollback", step -> session(step).rollback());
    }

    private void consumers() {
        verbs.put("consumer", step -> {
            String from = step.field("from", "oldest");
            From begin = from.equals("oldest") ? From.OLDEST
                : from.equals("now") ? From.NOW : From.sequence(Long.parseLong(from));
            set(step.word(1), store(step, 2).consumer(step.word(4), queue(step, 3), options -> {
                if (step.field("dead_letters") != null) {
                    options.deadLetters(get(Queue.class, step.field("dead_letters")));
                }
                options.afterDeadLetter(
                    AfterDeadLetter.valueOf(step.field("after", "skip").toUpperCase(Locale.ROOT)));
                options.from(begin)
                    .shared(step.field("shared", "no").equals("yes")).keyed(step.field("keyed", "no").equals("yes"))
                    .parallel((int) number(step, "parallel")).perKey((int) number(step, "per_key"))
                    .conflate(step.field("conflate", "no").equals("yes"))
                    .keyVersions(step.field("key_versions", "no").equals("yes"))
                    .lease(Duration.ofMillis(number(step, "lease_ms")))
                    .retryDelay(Duration.ofMillis(number(step, "retry_delay_ms")))
                    .retryMultiplier((int) number(step, "retry_multiplier"))
                    .retryDelayMax(Duration.ofMillis(number(step, "retry_delay_ms_max")))
                    .maxDeliveries((int) number(step, "max_deliveries"));
            }));
        });
        verbs.put("consumer_delete", step -> store(step, 1).consumerDelete(step.word(3), queue(step, 2)));
        verbs.put("receive", step -> {
            Consumer consumer = consumer(step, 1);
            read((left, last) -> consumer.receive(left, step.time(3)), step.count(2), step.rest(4));
        });
        verbs.put("ack", step -> consumer(step, 1).ackSequences(step.numbers(2)));
        verbs.put("reject", step -> {
            Duration delay = Duration.ofMillis(number(step, "delay_ms"));
            if (step.field("to_end", "no").equals("yes")) {
                consumer(step, 1).rejectToEndSequences(step.numbers(2), delay, step.field("reason", ""));
            } else {
                consumer(step, 1).rejectSequences(step.numbers(2), delay, step.field("reason", ""));
            }
        });
        verbs.put("renew", step -> consumer(step, 1).renewSequences(step.numbers(2)));
        verbs.put("watch",
            step -> consumer(step, 1).watch(get(Port.class, step.word(2)), step.number(3)));
        verbs.put("seek", step -> consumer(step, 1).seek(step.number(2)));
    }

    private static long number(Step step, String field) {
        return Long.parseLong(step.field(field, "0"));
    }

    private void read(Read call, int most, List<byte[]> wanted) {
        List<Message> all = new ArrayList<>();
        for (;;) {
            List<Message> more = call.read(most - all.size(), all.isEmpty() ? 0 : all.get(all.size() - 1).sequence());
            all.addAll(more);
            if (more.isEmpty() || all.size() >= Math.max(wanted.size(), 1)) {
                break;
            }
        }
        boolean same = all.size() == wanted.size();
        for (int at = 0; same && at < all.size(); at++) {
            same = Arrays.equals(all.get(at).payload(), wanted.get(at));
        }
        if (!same) {
            throw new Wrong("got " + all.stream().map(Message::text).collect(Collectors.joining("\" \"", "\"", "\"")));
        }
        for (Message one : all) {
            if (!one.view().equals(ByteBuffer.wrap(one.payload()))) {
                throw new Wrong("a view shows something else than the payload");
            }
        }
        found = all;
    }

    private void check(Step step) {
        if (step.number(1) >= found.size()) {
            throw new Wrong("no message " + step.word(1));
        }
        Message one = found.get(step.count(1));
        step.fields().keySet().forEach(name -> {
            byte[] value = name.equals("queue")
                ? Step.raw(one.queue() == get(Queue.class, step.field(name)).number() ? step.fields().get(name) : "another")
                : read(one, name);
            if (!Arrays.equals(value, Step.raw(step.fields().get(name)))) {
                throw new Wrong(name + " is " + Step.text(value));
            }
        });
    }

    private static byte[] read(Message one, String name) {
        switch (name) {
            case "kind":
                return Step.raw(Integer.toString(one.kind()));
            case "producer":
                return one.producer().getBytes(java.nio.charset.StandardCharsets.UTF_8);
            case "producer_sequence":
                return Step.raw(Long.toUnsignedString(one.producerSequence()));
            case "sequence":
                return Step.raw(Long.toString(one.sequence()));
            case "deliveries":
                return Step.raw(Integer.toString(one.deliveries()));
            case "priority":
                return Step.raw(Integer.toString(one.priority()));
            case "deliver_at_ms":
                return Step.raw(Long.toString(one.deliverAt().map(at -> at.toEpochMilli()).orElse(0L)));
            case "key":
                return one.key();
            default:
                if (!name.startsWith("header.")) {
                    throw new Wrong("no field " + name);
                }
                byte[] value = one.header(name.substring(7)).orElse(Step.raw("(none)"));
                List<Header> headers = one.headers();
                if (headers.stream().noneMatch(header -> Arrays.equals(header.value(), value))) {
                    throw new Wrong("the list has no header " + name);
                }
                return value;
        }
    }

    private List<Token> tokenList(Step step, int first) {
        List<Token> list = new ArrayList<>();
        for (String name : step.names(first)) {
            if (!tokens.containsKey(name)) {
                throw new Wrong(name + " is not open");
            }
            list.add(tokens.get(name));
        }
        return list;
    }

    private void tokens() {
        verbs.put("wait",
            step -> store(step, 1).await(tokenList(step, 4), Place.of(step.word(2)), step.time(3)));
        verbs.put("parse", step -> tokens.put(step.word(1), Token.parse(step.word(2))));
        verbs.put("round_trip", step -> {
            Token one = tokenList(step, 1).get(0);
            Token again = Token.parse(one.text());
            if (!again.equals(one) || !Token.parse(one.toBytes()).equals(one) || again.hashCode() != one.hashCode()) {
                throw new Wrong("the round trip gave another token");
            }
        });
        Verb same = step -> {
            List<Token> two = tokenList(step, 1);
            if (two.get(0).equals(two.get(1)) != step.word(0).equals("same")) {
                throw new Wrong("the tokens are not " + step.word(0));
            }
        };
        verbs.put("same", same);
        verbs.put("differ", same);
        verbs.put("join", step -> {
            int left = Token.join(tokenList(step, 2)).size();
            if (left != step.number(1)) {
                throw new Wrong(left + " tokens are left");
            }
        });
    }

    private String address(String name) {
        return get(Server.class, name).addresses().get(0);
    }

    private void network() {
        verbs.put("server", step -> {
            String socket = step.field("socket");
            String free = socket == null ? "127.0.0.1:0" : "unix:" + folder.resolve(socket);
            String at = step.field("at") == null ? free : address(step.field("at"));
            User user = User.of(step.field("user", ""), step.field("password", ""))
                .allow(step.field("verbs", "replicate"), step.field("queues", "*"));
            set(step.word(1),
                new Server(store(step, 2), options -> options.plain(true).listen(at).users(user)));
            if (socket != null) {
                socketOf.put(step.word(1), folder.resolve(socket));
            }
        });
        verbs.put("replication", step -> set(step.word(1), new Replication(queue(step, 3))));
        verbs.put("target", step -> add(step, "repliq://" + address(step.word(3))));
        verbs.put("target_at", step -> add(step, step.word(3)));
        verbs.put("told", this::told);
        verbs.put("send", step -> keep(step, replication(step).send(step.count(2), step.bytes(3))));
        verbs.put("start_job", step -> replication(step).startJob());
        verbs.put("end_job", step -> keep(step, replication(step).endJob()));
        verbs.put("abort_job", step -> replication(step).abortJob());
        verbs.put("stop", step -> replication(step).stop(step.time(2)));
        verbs.put("talk", this::talk);
    }

    private void add(Step step, String url) {
        replication(step).add(step.word(2), url, options -> {
            options.reconnectMax(Duration.ofMillis(200)).plain(step.field("ca") == null);
            if (step.field("password") != null) {
                options.password(Step.raw(step.fields().get("password")));
            }
            if (step.field("ca") != null) {
                options.caFile(Path.of(step.field("ca")));
            }
            if (step.field("user") != null) {
                options.user(step.field("user"));
            }
            if (step.field("queue") != null) {
                options.queue(step.field("queue"));
            }
        });
    }

    /** Waits until a target of the replication stands for this code, and tells what it says. */
    private void told(Step step) throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000L;
        for (;;) {
            for (TargetStatus target : replication(step).targets()) {
                String last = target.lastError().orElse("");
                if (last.startsWith(step.word(2) + ": ")) {
                    said = last;
                    return;
                }
            }
            if (System.nanoTime() >= end) {
                throw new Wrong("no target says " + step.word(2) + " in " + replication(step).status());
            }
            Thread.sleep(5);
        }
    }

    /** Says something to a server and reads until it hangs up. */
    private void talk(Step step) {
        String[] parts = address(step.word(1)).split(":");
        try (Socket to = new Socket(parts[0], Integer.parseInt(parts[1]))) {
            to.setSoTimeout(PATIENCE_MS);
            to.getOutputStream().write(step.bytes(2));
            to.getInputStream().readAllBytes();
        } catch (SocketException error) {
            if (!error.getMessage().contains("reset") && !error.getMessage().contains("pipe")) {
                throw new Wrong(parts[1] + " does not listen: " + error);
            }
        } catch (IOException error) {
            throw new Wrong(parts[1] + " does not hang up: " + error);
        }
    }

    private void files() {
        verbs.put("copy", step -> {
            Path from = folder.resolve(step.word(1));
            Path to = Files.createDirectory(folder.resolve(step.word(2)));
            try (java.util.stream.Stream<Path> all = Files.list(from)) {
                for (Path file : all.collect(Collectors.toList())) {
                    Files.copy(file, to.resolve(file.getFileName()));
                }
            }
        });
        verbs.put("file", step -> {
            Path file = folder.resolve(step.word(1));
            Files.createDirectories(file.getParent());
            Files.write(file, step.bytes(2));
        });
        verbs.put("sleep", step -> Thread.sleep(step.number(1)));
    }
}
