package repliq.socketpro;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import repliq.Code;
import repliq.Message;
import repliq.Replication;
import repliq.RepliqException;
import repliq.Store;
import repliq.TargetOptions;
import repliq.TargetStatus;

/** What a successful Start opened. */
final class Opened {
    private static final int NAME_MAX = 247;
    private static final Duration RECONNECT_MAX = Duration.ofSeconds(5);
    private static final Pattern IPV4 = Pattern.compile("[0-9.]*");

    final String root;
    final String directory;
    /** In the order of their names. */
    final List<String> targets;
    final Replication link;
    private final boolean secure;
    private final Store store;

    private Opened(ReplicationSetting setting, Map<String, CConnectionContext> connections, String root) {
        this.root = root;
        directory = setting.QueueDir + root + ".repliq/";
        targets = new ArrayList<>(connections.keySet());
        String password = QueueConfigure.password();
        secure = !password.isEmpty();
        try {
            Files.createDirectories(Path.of(setting.QueueDir));
        } catch (IOException | InvalidPathException error) {
            // Opening says why.
        }
        store = Store.open(directory, options -> {
            if (secure) {
                options.password(password);
            }
        });
        try {
            link = new Replication(store.queue(root));
            connections.forEach((name, to) -> add(setting, name, to));
        } catch (RuntimeException | Error error) {
            store.close();
            throw error;
        }
    }

    /** Checks everything first; what is refused opened nothing. */
    static Opened open(ReplicationSetting setting, Map<String, CConnectionContext> given, String root) {
        if (given == null || given.isEmpty()) {
            throw invalid("cannot start a replication without a connection");
        }
        given.forEach(Opened::check);
        Map<String, CConnectionContext> connections = new TreeMap<>(Opened::inBytes);
        connections.putAll(given);
        String name = text(root).isEmpty() ? "replication" : root;
        if (connections.size() == 1) {
            name = connections.keySet().iterator().next();
        }
        checkName(name, "root queue");
        return new Opened(setting, connections, name);
    }

    private void add(ReplicationSetting setting, String name, CConnectionContext to) {
        String host = to.Host.contains(":") ? "[" + to.Host + "]" : to.Host;
        link.add(name, "repliq://" + host + ":" + to.Port, options -> {
            options.user(to.UserId)
                    .plain(to.EncrytionMethod == tagEncryptionMethod.NoEncryption)
                    .heartbeat(heartbeat(setting))
                    .connectTimeout(Duration.ofMillis(Integer.toUnsignedLong(setting.ConnTimeout)))
                    .reconnectMax(RECONNECT_MAX)
                    .reconnect(!setting.NoAutoConn);
            where(to, options);
        });
    }

    private static void where(CConnectionContext to, TargetOptions options) {
        if (!text(to.Password).isEmpty()) {
            options.password(to.Password);
        }
        if (!text(to.CaFile).isEmpty()) {
            options.caFile(Path.of(to.CaFile));
        }
        if (!text(to.ServerName).isEmpty()) {
            options.serverName(to.ServerName);
        }
        if (!text(to.Queue).isEmpty()) {
            options.queue(to.Queue);
        }
    }

    private static Duration heartbeat(ReplicationSetting setting) {
        long third = Integer.toUnsignedLong(setting.RecvTimeout) / 3;
        return Duration.ofMillis(Math.min(Math.max(third, 50), 20_000));
    }

    void send(int kind, ByteBuffer payload, int ttl) {
        Instant expires = Instant.now().plusSeconds(Integer.toUnsignedLong(ttl));
        link.send(Message.builder(payload).kind(kind).expires(expires).build());
    }

    CClientQueue queue(String name, int ttl, boolean available) {
        return new CClientQueue(name, directory, ttl, secure, available);
    }

    /** The targets as they are now. */
    List<CClientQueue> describe(int ttl) {
        List<CClientQueue> all = new ArrayList<>();
        Map<String, TargetStatus> known = new HashMap<>();
        try {
            link.targets().forEach(one -> known.put(one.name(), one));
        } catch (RepliqException error) {
            targets.forEach(name -> all.add(queue(name, ttl, false).in(0, false, error.getMessage())));
            return all;
        }
        for (String name : targets) {
            TargetStatus one = known.get(name);
            if (one != null) {
                String last = one.lastError().orElse("");
                all.add(queue(name, ttl, true).in(one.lagMessages(), one.isConnected(), last));
            }
        }
        return all;
    }

    void close() {
        try {
            link.close();
        } finally {
            store.close();
        }
    }

    // ---- checks

    private static RepliqException invalid(String text) {
        return RepliqException.of(Code.INVALID, text);
    }

    private static String text(String value) {
        return value == null ? "" : value;
    }

    private static byte[] utf8(String name, String what) {
        try {
            ByteBuffer made = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(name));
            return Arrays.copyOf(made.array(), made.limit());
        } catch (CharacterCodingException error) {
            throw invalid("the name of a " + what + " has no UTF-8 form");
        }
    }

    /** The order of every language. */
    private static int inBytes(String one, String other) {
        return Arrays.compareUnsigned(utf8(one, "target"), utf8(other, "target"));
    }

    /** A name that is a part of a path, too. */
    private static void checkName(String name, String what) {
        if (utf8(text(name), what).length > NAME_MAX) {
            throw RepliqException.of(Code.TOO_LARGE, "the name of a " + what + " has more than 247 bytes");
        }
        if (text(name).isEmpty() || name.chars().anyMatch(one -> one == '/' || one < ' ' || one == 0x7F)) {
            throw invalid("the name of a " + what + " is empty, or has a / or a control character");
        }
    }

    private static void check(String name, CConnectionContext to) {
        checkName(name, "target");
        if (to == null) {
            throw invalid("target \"" + name + "\": there is no connection");
        }
        String wrong = null;
        if (text(to.Host).isEmpty()) {
            wrong = "Host is empty";
        } else if (to.Port < 1 || to.Port > 65_535) {
            wrong = "Port is " + to.Port;
        } else if (text(to.UserId).isEmpty()) {
            wrong = "UserId is empty";
        } else if (to.EncrytionMethod == null) {
            wrong = "EncrytionMethod is neither NoEncryption nor TLSv1";
        } else if (to.V6 && IPV4.matcher(to.Host).matches()) {
            wrong = "V6 is true, and Host is an IPv4 address";
        }
        if (wrong != null) {
            throw invalid("target \"" + name + "\": " + wrong);
        }
        if (to.Zip) {
            String text = "target \"" + name + "\": Zip is true, and nothing is compressed";
            throw RepliqException.of(Code.UNSUPPORTED, text);
        }
    }
}
