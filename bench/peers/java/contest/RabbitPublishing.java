package contest;

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.util.Map;
import java.util.concurrent.ConcurrentNavigableMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * RabbitMQ: persistent messages with publisher confirms, up to {@code window} without one. {@code power}: a quorum queue,
 * which syncs before it confirms. {@code process}: a classic queue, which does not. A turn has a queue of its own.
 *
 * <p>put.
 */
final class RabbitPublishing extends Contest {
    private final ConcurrentNavigableMap<Long, Long> starts = new ConcurrentSkipListMap<>();
    private final AtomicBoolean refused = new AtomicBoolean();
    private Channel channel;
    private Semaphore free;
    private Times times = new Times();
    private int generation;

    public static void main(String[] words) {
        new RabbitPublishing().run(words);
    }

    @Override
    String open() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost("127.0.0.1");
        factory.setPort(number("port", 0));
        Connection connection = factory.newConnection();
        channel = connection.createChannel();
        channel.confirmSelect();
        channel.addConfirmListener(this::confirmed, (tag, multiple) -> {
            refused.set(true);
            confirmed(tag, multiple);
        });
        double until = System.nanoTime() + WARM_S * 1e9;
        long sent = 0;
        while (System.nanoTime() < until || sent < 60_000 && System.nanoTime() < until + 10e9) {
            stint(Stint.warm(60_000, 2.0));
            sent += 60_000;
        }
        return connection.getServerProperties().get("version").toString();
    }

    private void confirmed(long tag, boolean multiple) {
        long now = System.nanoTime();
        Map<Long, Long> these = multiple ? starts.headMap(tag, true) : starts.subMap(tag, true, tag, true);
        int count = 0;
        for (Long start : these.values()) {
            times.add(now - start);
            count++;
        }
        these.clear();
        free.release(count);
    }

    @Override
    void stint(Stint stint) throws Exception {
        if (generation > 0) {
            channel.queueDelete("queue-" + generation);
        }
        String name = "queue-" + ++generation;
        channel.queueDeclare(name, true, false, false, Map.of("x-queue-type", power ? "quorum" : "classic"));
        byte[] payload = new byte[size];
        free = new Semaphore(window);
        times = new Times();
        long sent = 0;
        stint.begin();
        while (sent < stint.messages && !stint.over()) {
            free.acquire();
            starts.put(channel.getNextPublishSeqNo(), System.nanoTime());
            channel.basicPublish("", name, MessageProperties.PERSISTENT_BASIC, payload);
            sent++;
        }
        if (!free.tryAcquire(window, 60, TimeUnit.SECONDS) || refused.get()) {
            throw new IllegalStateException("not all messages were confirmed");
        }
        stint.end(sent, sent, times);
    }
}
