package contest;

import java.util.ArrayList;
import java.util.List;
import org.apache.activemq.artemis.api.core.QueueConfiguration;
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.api.core.client.ActiveMQClient;
import org.apache.activemq.artemis.api.core.client.ClientConsumer;
import org.apache.activemq.artemis.api.core.client.ClientMessage;
import org.apache.activemq.artemis.api.core.client.ClientProducer;
import org.apache.activemq.artemis.api.core.client.ClientSession;
import org.apache.activemq.artemis.api.core.client.ServerLocator;

/**
 * Artemis: a transacted session of the core client a thread, each over a connection of its own. Sends and acknowledgements
 * do not block, the commit does. A turn has queues of its own, two a thread.
 *
 * <p>transform: {@code batch} messages received and as many sent a transaction. produce: only sent.
 */
final class ArtemisTransforming extends Contest {
    /** Messages of a transaction that fills a queue. */
    private static final int FILLING = 1_000;

    /** What a thread has. */
    private static final class Hand {
        ClientSession session;
        ClientConsumer consumer;
        ClientProducer producer;
    }

    private final List<Hand> hands = new ArrayList<>();
    private int generation;

    public static void main(String[] words) {
        new ArtemisTransforming().run(words);
    }

    @Override
    String open() throws Exception {
        ServerLocator locator = ActiveMQClient.createServerLocator("tcp://127.0.0.1:" + number("port", 0));
        locator.setBlockOnDurableSend(false).setBlockOnAcknowledge(false).setProducerWindowSize(-1);
        for (int thread = 0; thread < threads; thread++) {
            Hand hand = new Hand();
            hand.session = locator.createSessionFactory().createSession(false, false);
            hand.session.start();
            hands.add(hand);
        }
        warm(64_000);
        return "2.55.0";
    }

    @Override
    void stint(Stint stint) throws Exception {
        long each = share(stint);
        generation++;
        for (int thread = 0; thread < threads; thread++) {
            prepare(thread, each * batch);
        }
        byte[] payload = new byte[size];
        boolean takes = workload.equals("transform");
        commits(stint, thread -> {
            Hand hand = hands.get(thread);
            return () -> {
                for (int at = 0; at < batch; at++) {
                    if (!takes) {
                        send(hand, payload);
                        continue;
                    }
                    ClientMessage message = hand.consumer.receive(10_000);
                    if (message == null) {
                        throw new IllegalStateException("the messages ran out");
                    }
                    byte[] found = new byte[message.getBodySize()];
                    message.getBodyBuffer().readBytes(found);
                    message.acknowledge();
                    send(hand, found);
                }
                hand.session.commit();
            };
        });
    }

    private static void send(Hand hand, byte[] payload) throws Exception {
        ClientMessage message = hand.session.createMessage(true);
        message.getBodyBuffer().writeBytes(payload);
        hand.producer.send(message);
    }

    /** Throws away what the turn before left, and sends what this one takes. */
    private void prepare(int thread, long count) throws Exception {
        Hand hand = hands.get(thread);
        if (hand.producer != null) {
            hand.session.rollback();
            hand.producer.close();
            if (hand.consumer != null) {
                hand.consumer.close();
            }
            hand.session.deleteQueue("from-" + (generation - 1) + "-" + thread);
            hand.session.deleteQueue("to-" + (generation - 1) + "-" + thread);
        }
        String from = "from-" + generation + "-" + thread;
        String to = "to-" + generation + "-" + thread;
        for (String name : List.of(from, to)) {
            hand.session.createQueue(QueueConfiguration.of(name).setRoutingType(RoutingType.ANYCAST).setDurable(true));
        }
        if (workload.equals("transform")) {
            byte[] payload = new byte[size];
            hand.producer = hand.session.createProducer(from);
            for (long sent = 1; sent <= count; sent++) {
                send(hand, payload);
                if (sent % FILLING == 0 || sent == count) {
                    hand.session.commit();
                }
            }
            hand.producer.close();
            hand.consumer = hand.session.createConsumer(from);
        }
        hand.producer = hand.session.createProducer(to);
    }
}
