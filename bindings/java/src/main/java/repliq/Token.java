package repliq;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/** The proof of a commit, to be asked for at any store of the same group. A value; it has no order. */
public final class Token extends Bytes {
    static final int SIZE = 40;

    Token(byte[] bytes) {
        super(bytes);
    }

    /**
     * A token from its text.
     *
     * @param text the 54 characters of {@link #text()}
     * @return the token
     * @throws RepliqException with {@link Code#INVALID} where it is none
     */
    public static Token parse(String text) {
        return parse(Check.given(text, "a token").getBytes(StandardCharsets.UTF_8));
    }

    /**
     * A token from its bytes.
     *
     * @param bytes the 40 bytes of {@link #toBytes()}, or those of its text
     * @return the token
     * @throws RepliqException with {@link Code#INVALID} where it is none
     */
    public static Token parse(byte[] bytes) {
        Library.load();
        return new Token(new Packer().bytes(Check.given(bytes, "a token")).call(Verb.TOKEN_PARSE, 0).all());
    }

    /**
     * The least list that says the same.
     *
     * @param tokens some, in any order
     * @return at most as many
     */
    public static List<Token> join(Collection<Token> tokens) {
        Library.load();
        Unpacker answer = new Packer().tokens(Check.given(tokens, "the tokens")).call(Verb.TOKEN_JOIN, 0);
        List<Token> joined = new ArrayList<>();
        while (!answer.isEmpty()) {
            joined.add(new Token(answer.raw(SIZE)));
        }
        return joined;
    }

    /**
     * Its text, which is the same in every language.
     *
     * @return 54 characters
     */
    @Override
    public String text() {
        return new Packer().bytes(bytes).call(Verb.TOKEN_TEXT, 0).rest();
    }

    /**
     * Whether it is of a transaction that wrote nothing.
     *
     * @return whether it is
     */
    public boolean isEmpty() {
        return new Packer().bytes(bytes).call(Verb.TOKEN_IS_EMPTY, 0).flag();
    }
}
