package contest;

import java.io.PrintStream;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.Uuid;

/**
 * A Kafka broker that is its own controller. {@code power}: log.flush.interval.messages=1, so that every append is forced
 * before it is answered. {@code process}: its default, the page cache.
 */
final class KafkaServing extends Contest {
    public static void main(String[] words) throws Exception {
        KafkaServing serving = new KafkaServing();
        serving.read(words);
        serving.serve();
    }

    private void serve() throws Exception {
        int port = number("port", 0);
        int controller;
        try (ServerSocket socket = new ServerSocket(0)) {
            controller = socket.getLocalPort();
        }
        Path settings = dir.resolve("server.properties");
        Files.writeString(settings, String.join("\n", "process.roles=broker,controller", "node.id=1",
                "controller.quorum.voters=1@127.0.0.1:" + controller,
                "listeners=PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller,
                "advertised.listeners=PLAINTEXT://127.0.0.1:" + port,
                "controller.listener.names=CONTROLLER", "log.dirs=" + dir.resolve("logs"),
                "offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1", power ? "log.flush.interval.messages=1" : "", ""));
        int code = kafka.tools.StorageTool.execute(
                new String[] {"format", "-t", Uuid.randomUuid().toString(), "-c", settings.toString()}, new PrintStream(System.err));
        if (code != 0) {
            throw new IllegalStateException("cannot format the directory: code " + code);
        }
        kafka.Kafka.main(new String[] {settings.toString()});
    }

    @Override
    String open() {
        throw new UnsupportedOperationException("it serves");
    }

    @Override
    void stint(Stint stint) {
        throw new UnsupportedOperationException("it serves");
    }
}
