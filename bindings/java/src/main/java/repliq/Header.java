package repliq;

import java.nio.charset.StandardCharsets;

/** A header of a message. */
public final class Header {
    private final String name;
    private final byte[] value;

    Header(String name, byte[] value) {
        this.name = name;
        this.value = value;
    }

    /**
     * Its name.
     *
     * @return 1 to 255 bytes of UTF-8
     */
    public String name() {
        return name;
    }

    /**
     * Its value.
     *
     * @return a copy
     */
    public byte[] value() {
        return value.clone();
    }

    /**
     * Its value as UTF-8.
     *
     * @return a text
     */
    public String text() {
        return new String(value, StandardCharsets.UTF_8);
    }

    byte[] bytes() {
        return value;
    }
}
