package contest;

import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka: one partition, acks=all, an idempotent producer, no linger, batches of up to 128 KiB, up to {@code window} messages
 * without an acknowledgement. A turn has a topic of its own.
 *
 * <p>put.
 */
final class KafkaProducing extends Contest {
    private KafkaProducer<byte[], byte[]> producer;
    private Admin admin;
    private int generation;

    public static void main(String[] words) {
        new KafkaProducing().run(words);
    }

    @Override
    String open() throws Exception {
        String server = "127.0.0.1:" + number("port", 0);
        admin = Admin.create(Map.of("bootstrap.servers", server));
        producer = new KafkaProducer<>(Map.of("bootstrap.servers", server, "acks", "all", "enable.idempotence", "true",
                "linger.ms", "0", "batch.size", 128 << 10, "buffer.memory", 64 << 20),
                new ByteArraySerializer(), new ByteArraySerializer());
        double until = System.nanoTime() + WARM_S * 1e9;
        long sent = 0;
        while (System.nanoTime() < until || sent < 60_000 && System.nanoTime() < until + 10e9) {
            stint(Stint.warm(60_000, 2.0));
            sent += 60_000;
        }
        return "4.3.1";
    }

    @Override
    void stint(Stint stint) throws Exception {
        if (generation > 0) {
            admin.deleteTopics(List.of("queue-" + generation)).all().get(30, TimeUnit.SECONDS);
        }
        String topic = "queue-" + ++generation;
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get(30, TimeUnit.SECONDS);
        byte[] payload = new byte[size];
        producer.send(new ProducerRecord<>(topic, payload)).get(30, TimeUnit.SECONDS);
        Semaphore free = new Semaphore(window);
        AtomicReference<Exception> failed = new AtomicReference<>();
        // The callbacks come on one thread.
        Times times = new Times();
        long sent = 0;
        stint.begin();
        while (sent < stint.messages && !stint.over() && failed.get() == null) {
            free.acquire();
            long start = System.nanoTime();
            producer.send(new ProducerRecord<>(topic, payload), (metadata, error) -> {
                if (error != null) {
                    failed.set(error);
                }
                times.add(System.nanoTime() - start);
                free.release();
            });
            sent++;
        }
        if (!free.tryAcquire(window, 60, TimeUnit.SECONDS) || failed.get() != null) {
            throw new IllegalStateException("cannot publish", failed.get());
        }
        stint.end(sent, sent, times);
    }
}
