package contest;

import io.aeron.Aeron;
import io.aeron.ChannelUri;
import io.aeron.ExclusivePublication;
import io.aeron.archive.Archive;
import io.aeron.archive.ArchiveThreadingMode;
import io.aeron.archive.ArchivingMediaDriver;
import io.aeron.archive.client.AeronArchive;
import io.aeron.archive.codecs.SourceLocation;
import io.aeron.archive.status.RecordingPos;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.nio.file.Path;
import org.agrona.BitUtil;
import org.agrona.concurrent.UnsafeBuffer;
import org.agrona.concurrent.status.CountersReader;

/**
 * Aeron Archive: an exclusive publication that is recorded, and counts as stored when the archive's counter has passed it;
 * the counter moves after the force. Driver and archive share their threads, because two cores bear no threads of their
 * own; segments of 128 MiB, no checksum (its default). {@code power}: fileSyncLevel and catalogFileSyncLevel 1.
 * {@code process}: 0.
 *
 * <p>put: over IPC. remote: the publication goes over UDP on loopback to the archive.
 */
final class AeronRecorded extends Contest {
    private static final int STREAM = 1001;
    private static final int HEADER = 32;

    private ArchivingMediaDriver driver;
    private AeronArchive archive;
    private int port;

    public static void main(String[] words) {
        new AeronRecorded().run(words);
    }

    @Override
    String open() throws Exception {
        int level = power ? 1 : 0;
        Path shared = Path.of("/dev/shm/contest-aeron-" + ProcessHandle.current().pid());
        MediaDriver.Context media = new MediaDriver.Context().aeronDirectoryName(shared.toString())
                .threadingMode(ThreadingMode.SHARED).dirDeleteOnStart(true).dirDeleteOnShutdown(true)
                .spiesSimulateConnection(false);
        try (java.net.DatagramSocket socket = new java.net.DatagramSocket(0)) {
            port = socket.getLocalPort();
        }
        Archive.Context recording = new Archive.Context().aeronDirectoryName(shared.toString())
                .archiveDir(dir.resolve("archive").toFile()).deleteArchiveOnStart(true)
                .threadingMode(ArchiveThreadingMode.SHARED).segmentFileLength(128 << 20).fileSyncLevel(level)
                .catalogFileSyncLevel(level).controlChannelEnabled(false).recordingEventsEnabled(false)
                .archiveClientContext(new AeronArchive.Context().controlResponseChannel("aeron:udp?endpoint=127.0.0.1:0"))
                .replicationChannel("aeron:udp?endpoint=127.0.0.1:0");
        driver = ArchivingMediaDriver.launch(media, recording);
        archive = AeronArchive.connect(new AeronArchive.Context().aeronDirectoryName(shared.toString())
                .controlRequestChannel("aeron:ipc").controlResponseChannel("aeron:ipc"));
        double until = System.nanoTime() + WARM_S * 1e9;
        while (System.nanoTime() < until) {
            stint(Stint.warm(1_000_000, 1.0));
        }
        return "1.51.0";
    }

    @Override
    void close() {
        archive.close();
        driver.close();
    }

    @Override
    void stint(Stint stint) throws Exception {
        boolean remote = workload.equals("remote");
        String channel = remote ? "aeron:udp?endpoint=127.0.0.1:" + port + "|term-length=64m|so-sndbuf=2m|so-rcvbuf=2m|rcv-wnd=2m"
                : "aeron:ipc?term-length=64m";
        Aeron aeron = archive.context().aeron();
        archive.startRecording(ChannelUri.parse(channel).toString(), STREAM, remote ? SourceLocation.REMOTE : SourceLocation.LOCAL);
        long recording;
        try (ExclusivePublication publication = aeron.addExclusivePublication(channel, STREAM)) {
            CountersReader counters = aeron.countersReader();
            int counter;
            do {
                Thread.sleep(1);
                counter = RecordingPos.findCounterIdBySession(counters, publication.sessionId(), archive.archiveId());
            } while (counter == CountersReader.NULL_COUNTER_ID);
            recording = RecordingPos.getRecordingId(counters, counter);
            while (!publication.isConnected()) {
                Thread.onSpinWait();
            }
            publish(Stint.warm(Math.max(1, stint.messages / 20), 0.2), publication, counters, counter);
            publish(stint, publication, counters, counter);
        }
        archive.stopRecording(ChannelUri.parse(channel).toString(), STREAM);
        for (int attempt = 0; ; attempt++) {
            try {
                archive.purgeRecording(recording);
                return;
            } catch (io.aeron.archive.client.ArchiveException error) {
                // It still writes the end.
                if (attempt == 200) {
                    throw error;
                }
                Thread.sleep(10);
            }
        }
    }

    /** The time of a message is taken where one is waited for at a time. */
    private void publish(Stint stint, ExclusivePublication publication, CountersReader counters, int counter) {
        UnsafeBuffer payload = new UnsafeBuffer(new byte[size]);
        int frame = BitUtil.align(size + HEADER, HEADER);
        long ahead = (long) (window - 1) * frame;
        Times times = new Times();
        long done = 0;
        boolean timed = window == 1;
        stint.begin();
        while (done < stint.messages && ((done & (timed ? 0 : 63)) != 0 || !stint.over())) {
            long start = timed ? System.nanoTime() : 0;
            while (publication.offer(payload, 0, size) < 0) {
                Thread.yield();
            }
            long bound = publication.position() - ahead;
            while (counters.getCounterValue(counter) < bound) {
                Thread.yield();
            }
            if (timed) {
                times.add(System.nanoTime() - start);
            }
            done++;
        }
        while (counters.getCounterValue(counter) < publication.position()) {
            Thread.yield();
        }
        stint.end(done, done, times);
    }
}
