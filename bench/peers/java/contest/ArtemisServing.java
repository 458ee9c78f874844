package contest;

import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.server.JournalType;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;

/** An Artemis broker: journal ASYNCIO, buffer timeout 0.4 ms. {@code power}: datasync on (its default). Otherwise off. */
final class ArtemisServing extends Contest {
    public static void main(String[] words) throws Exception {
        ArtemisServing serving = new ArtemisServing();
        serving.read(words);
        serving.serve();
    }

    private void serve() throws Exception {
        ConfigurationImpl configuration = new ConfigurationImpl();
        configuration.setPersistenceEnabled(true).setSecurityEnabled(false).setJournalType(JournalType.ASYNCIO)
                .setJournalDatasync(power).setJournalBufferTimeout_AIO(400_000)
                .setJournalDirectory(dir.resolve("journal").toString())
                .setBindingsDirectory(dir.resolve("bindings").toString())
                .setPagingDirectory(dir.resolve("paging").toString())
                .setLargeMessagesDirectory(dir.resolve("large").toString())
                .addAcceptorConfiguration("tcp", "tcp://127.0.0.1:" + number("port", 0));
        EmbeddedActiveMQ server = new EmbeddedActiveMQ();
        server.setConfiguration(configuration);
        server.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                server.stop();
            } catch (Exception error) {
                error.printStackTrace();
            }
        }));
        Thread.currentThread().join();
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
