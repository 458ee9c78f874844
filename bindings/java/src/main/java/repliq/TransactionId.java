package repliq;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** The identity of a transaction of a session, known before its commit, for {@link Store#resolve}. A value. */
public final class TransactionId extends Bytes {
    static final int SIZE = 28;
    private static final int SESSION = 16;

    TransactionId(byte[] bytes) {
        super(bytes);
    }

    /**
     * An identity from its text.
     *
     * @param text that of {@link #text()}
     * @return the identity
     * @throws RepliqException with {@link Code#INVALID} where it is none
     */
    public static TransactionId parse(String text) {
        return parse(Check.given(text, "an identity").getBytes(StandardCharsets.UTF_8));
    }

    /**
     * An identity from its bytes.
     *
     * @param bytes the 28 bytes of {@link #toBytes()}, or those of its text
     * @return the identity
     * @throws RepliqException with {@link Code#INVALID} where it is none
     */
    public static TransactionId parse(byte[] bytes) {
        Library.load();
        Packer packed = new Packer().bytes(Check.given(bytes, "an identity"));
        return new TransactionId(packed.call(Verb.TRANSACTION_ID_PARSE, 0).all());
    }

    /**
     * The session.
     *
     * @return 16 bytes, a copy
     */
    public byte[] session() {
        return Arrays.copyOf(bytes, SESSION);
    }

    /**
     * Which of the session's owners, one after the other.
     *
     * @return from 1 on
     */
    public int epoch() {
        return ByteBuffer.wrap(bytes).getInt(SESSION);
    }

    /**
     * Which of the owner's transactions.
     *
     * @return from 1 on
     */
    public long number() {
        return ByteBuffer.wrap(bytes).getLong(SESSION + Integer.BYTES);
    }

    /**
     * Its text, which is the same in every language.
     *
     * @return the session in hexadecimal digits, epoch and number, with dots between them
     */
    @Override
    public String text() {
        StringBuilder text = new StringBuilder();
        for (byte one : session()) {
            text.append(String.format("%02x", one));
        }
        return text.append('.').append(Integer.toUnsignedString(epoch()))
            .append('.').append(Long.toUnsignedString(number())).toString();
    }
}
