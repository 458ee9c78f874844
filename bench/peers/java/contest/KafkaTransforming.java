package contest;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka: a transactional producer and a consumer of committed records a thread, with a partition of their own, which is
 * assigned and not negotiated. The producer lingers, and its commit sends what gathered. A turn has topics of its own.
 *
 * <p>transform: {@code batch} records polled and as many sent a transaction, with the offset. produce: only sent.
 */
final class KafkaTransforming extends Contest {
    /** What a thread has. */
    private static final class Hand {
        KafkaProducer<byte[], byte[]> producer;
        KafkaConsumer<byte[], byte[]> consumer;
        /** Polled and not worked on. */
        final ArrayDeque<ConsumerRecord<byte[], byte[]>> ahead = new ArrayDeque<>();
    }

    private final List<Hand> hands = new ArrayList<>();
    private KafkaProducer<byte[], byte[]> filling;
    private Admin admin;
    private int generation;

    public static void main(String[] words) {
        new KafkaTransforming().run(words);
    }

    @Override
    String open() throws Exception {
        String server = "127.0.0.1:" + number("port", 0);
        admin = Admin.create(Map.of("bootstrap.servers", server));
        filling = producer(server, null);
        for (int thread = 0; thread < threads; thread++) {
            Hand hand = new Hand();
            hand.producer = producer(server, "bench-" + thread);
            hand.producer.initTransactions();
            hand.consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", server, "group.id", "bench-" + thread,
                    "enable.auto.commit", "false", "isolation.level", "read_committed", "max.poll.records", batch,
                    "auto.offset.reset", "earliest"), new ByteArrayDeserializer(), new ByteArrayDeserializer());
            hands.add(hand);
        }
        warm(64_000);
        return "4.3.1";
    }

    private static KafkaProducer<byte[], byte[]> producer(String server, String transactional) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", server, "acks", "all",
                "enable.idempotence", "true", "linger.ms", "5", "batch.size", 128 << 10));
        if (transactional != null) {
            settings.put("transactional.id", transactional);
        }
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    @Override
    void stint(Stint stint) throws Exception {
        if (generation > 0) {
            admin.deleteTopics(List.of("from-" + generation, "to-" + generation)).all().get(30, TimeUnit.SECONDS);
        }
        generation++;
        String from = "from-" + generation;
        String to = "to-" + generation;
        List<NewTopic> topics = List.of(new NewTopic(from, threads, (short) 1), new NewTopic(to, threads, (short) 1));
        admin.createTopics(topics).all().get(30, TimeUnit.SECONDS);
        byte[] payload = new byte[size];
        boolean takes = workload.equals("transform");
        if (takes) {
            fill(from, payload, share(stint) * batch);
        }
        for (int thread = 0; thread < threads; thread++) {
            Hand hand = hands.get(thread);
            // The producer hears of the topic before anything counts.
            hand.producer.partitionsFor(to);
            hand.ahead.clear();
            if (takes) {
                hand.consumer.assign(List.of(new TopicPartition(from, thread)));
                hand.consumer.seekToBeginning(hand.consumer.assignment());
                poll(hand);
            }
        }
        commits(stint, thread -> {
            Hand hand = hands.get(thread);
            TopicPartition partition = new TopicPartition(from, thread);
            return () -> {
                hand.producer.beginTransaction();
                long next = 0;
                for (int at = 0; at < batch; at++) {
                    byte[] value = payload;
                    if (takes) {
                        if (hand.ahead.isEmpty()) {
                            poll(hand);
                        }
                        ConsumerRecord<byte[], byte[]> one = hand.ahead.remove();
                        next = one.offset() + 1;
                        value = one.value();
                    }
                    hand.producer.send(new ProducerRecord<>(to, thread, null, value));
                }
                if (takes) {
                    hand.producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(next)),
                            hand.consumer.groupMetadata());
                }
                hand.producer.commitTransaction();
            };
        });
    }

    private void fill(String topic, byte[] payload, long each) {
        for (int thread = 0; thread < threads; thread++) {
            for (long at = 0; at < each; at++) {
                filling.send(new ProducerRecord<>(topic, thread, null, payload));
            }
        }
        filling.flush();
    }

    private static void poll(Hand hand) {
        long until = System.nanoTime() + 10_000_000_000L;
        while (hand.ahead.isEmpty()) {
            hand.consumer.poll(Duration.ofMillis(100)).forEach(hand.ahead::add);
            if (System.nanoTime() > until) {
                throw new IllegalStateException("the records ran out");
            }
        }
    }
}
