package repliq;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Passwords as bytes that can be wiped. */
final class Secret {
    private Secret() {}

    /** A copy as UTF-8; what was made on the way is wiped. */
    static byte[] of(char[] password) {
        ByteBuffer encoded = StandardCharsets.UTF_8.encode(CharBuffer.wrap(Check.given(password, "the password")));
        byte[] copy = new byte[encoded.remaining()];
        encoded.get(copy);
        Arrays.fill(encoded.array(), (byte) 0);
        return copy;
    }

    /** A copy. */
    static byte[] of(byte[] password) {
        return Check.given(password, "the password").clone();
    }

    /** A copy as UTF-8. */
    static byte[] of(String password) {
        return Check.utf8(password, "the password");
    }

    static void wipe(byte[] secret) {
        if (secret != null) {
            Arrays.fill(secret, (byte) 0);
        }
    }
}
