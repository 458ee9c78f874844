package repliq.socketpro;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Base64;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import repliq.Server;
import repliq.Store;
import repliq.User;

/** A connection with TLS: which certificates it takes. */
class TlsTest {
    private static final String NAME = "office.example";
    private static final String SECRET = "of the key store";

    @TempDir
    private Path folder;

    private Path certificate;
    private Path key;

    /** A certificate of its own authority, for one name. */
    @BeforeEach
    void certify() throws IOException, InterruptedException, GeneralSecurityException {
        Path kept = folder.resolve("keys");
        Process keytool = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                        "-genkeypair", "-alias", "one", "-keyalg", "RSA", "-keysize", "2048",
                        "-dname", "CN=office", "-ext", "san=dns:" + NAME, "-validity", "2",
                        "-storetype", "PKCS12", "-keystore", kept.toString(), "-storepass", SECRET)
                .redirectErrorStream(true)
                .start();
        String said = new String(keytool.getInputStream().readAllBytes());
        assertEquals(0, keytool.waitFor(), said);
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream from = Files.newInputStream(kept)) {
            keys.load(from, SECRET.toCharArray());
        }
        certificate = pem("CERTIFICATE", keys.getCertificate("one").getEncoded());
        key = pem("PRIVATE KEY", keys.getKey("one", SECRET.toCharArray()).getEncoded());
    }

    private Path pem(String what, byte[] bytes) throws IOException {
        String lines = Base64.getMimeEncoder().encodeToString(bytes);
        String text = "-----BEGIN " + what + "-----\n" + lines + "\n-----END " + what + "-----\n";
        return Files.writeString(folder.resolve(what + ".pem"), text);
    }

    private CConnectionContext at(int port, Path ca, String name) {
        CConnectionContext to = new CConnectionContext("127.0.0.1", port, "ann", "secret", tagEncryptionMethod.TLSv1);
        to.CaFile = ca == null ? "" : ca.toString();
        to.ServerName = name;
        return to;
    }

    private static void refused(CReplication rep, CConnectionContext to, String why) {
        assertTrue(rep.Start(Map.of("a", to)));
        Remote.soon(() -> rep.getTargetQueues().get(0).getLastError().contains(why), "it says " + why);
        assertEquals(0, rep.getConnections());
    }

    @Test
    void certificatesAreVerified() {
        int port = Remote.freePort();
        ReplicationSetting setting = new ReplicationSetting();
        setting.QueueDir = folder.toString();
        try (Store store = Store.open(folder.resolve("office"));
                Server server = new Server(store, o -> o.listen("127.0.0.1:" + port)
                        .certificateFile(certificate)
                        .keyFile(key)
                        .users(User.of("ann", "secret")));
                CReplication rep = new CReplication(setting)) {
            assertEquals(1, server.addresses().size());
            refused(rep, at(port, null, NAME), "CERTIFICATE");
            refused(rep, at(port, certificate, "elsewhere.example"), "CERTIFICATE");
            // Without a name it is the host.
            refused(rep, at(port, certificate, ""), "CERTIFICATE");
            CConnectionContext plain = at(port, certificate, NAME);
            plain.EncrytionMethod = tagEncryptionMethod.NoEncryption;
            assertTrue(rep.Start(Map.of("a", plain)));
            Remote.soon(() -> !rep.getTargetQueues().get(0).getLastError().isEmpty(), "plain TCP is refused");
            assertEquals(0, rep.getConnections());
            assertTrue(rep.Start(Map.of("a", at(port, certificate, NAME))) && rep.Send(0x2002));
            Remote.soon(() -> rep.getSourceQueue().getMessageCount() == 0, "the server has it");
            assertEquals(1, rep.getConnections());
        }
    }
}
