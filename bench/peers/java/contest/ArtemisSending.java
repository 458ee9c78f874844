package contest;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.activemq.artemis.api.core.QueueConfiguration;
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.api.core.client.ActiveMQClient;
import org.apache.activemq.artemis.api.core.client.ClientMessage;
import org.apache.activemq.artemis.api.core.client.ClientProducer;
import org.apache.activemq.artemis.api.core.client.ClientSession;
import org.apache.activemq.artemis.api.core.client.ClientSessionFactory;
import org.apache.activemq.artemis.api.core.client.ServerLocator;

/**
 * Artemis: its core client with send acknowledgements, durable messages, up to {@code window} without one. A turn has a
 * queue of its own.
 *
 * <p>put.
 */
final class ArtemisSending extends Contest {
    private ClientSession session;
    private int generation;

    public static void main(String[] words) {
        new ArtemisSending().run(words);
    }

    @Override
    String open() throws Exception {
        ServerLocator locator = ActiveMQClient.createServerLocator("tcp://127.0.0.1:" + number("port", 0));
        locator.setConfirmationWindowSize(1 << 20).setBlockOnDurableSend(false).setProducerWindowSize(-1);
        ClientSessionFactory factory = locator.createSessionFactory();
        session = factory.createSession(true, true);
        session.start();
        double until = System.nanoTime() + WARM_S * 1e9;
        long sent = 0;
        while (System.nanoTime() < until || sent < 60_000 && System.nanoTime() < until + 10e9) {
            stint(Stint.warm(60_000, 2.0));
            sent += 60_000;
        }
        return "2.55.0";
    }

    @Override
    void stint(Stint stint) throws Exception {
        if (generation > 0) {
            session.deleteQueue("queue-" + generation);
        }
        String name = "queue-" + ++generation;
        session.createQueue(QueueConfiguration.of(name).setRoutingType(RoutingType.ANYCAST).setDurable(true));
        byte[] payload = new byte[size];
        Semaphore free = new Semaphore(window);
        Times times = new Times();
        long sent = 0;
        try (ClientProducer producer = session.createProducer(name)) {
            stint.begin();
            while (sent < stint.messages && !stint.over()) {
                free.acquire();
                ClientMessage message = session.createMessage(true);
                message.getBodyBuffer().writeBytes(payload);
                long start = System.nanoTime();
                producer.send(null, message, acknowledged -> {
                    synchronized (times) {
                        times.add(System.nanoTime() - start);
                    }
                    free.release();
                });
                sent++;
            }
            if (!free.tryAcquire(window, 60, TimeUnit.SECONDS)) {
                throw new IllegalStateException("acknowledgements did not come");
            }
            stint.end(sent, sent, times);
        }
    }
}
