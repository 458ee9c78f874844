package repliq;

/** Where a transaction can be waited for. */
public final class Place {
    /** Applied in this store. */
    public static final Place HERE = new Place("");
    /** Stored durably at every target of its queues. */
    public static final Place TARGETS = new Place("target:*");

    private final String text;

    private Place(String text) {
        this.text = text;
    }

    /**
     * Stored durably at a target.
     *
     * @param name of the target
     * @return the place
     */
    public static Place target(String name) {
        return new Place("target:" + Check.given(name, "the name of a target"));
    }

    /**
     * Acknowledged by a consumer.
     *
     * @param name of the consumer
     * @return the place
     */
    public static Place consumer(String name) {
        return new Place("consumer:" + Check.given(name, "the name of a consumer"));
    }

    /**
     * A place as other languages write it: {@code ""}, {@code target:NAME}, {@code target:*}, {@code consumer:NAME}.
     *
     * @param text of the place; what it means is looked at when it is waited for
     * @return the place
     */
    public static Place of(String text) {
        return new Place(Check.given(text, "a place"));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Place && ((Place) other).text.equals(text);
    }

    @Override
    public int hashCode() {
        return text.hashCode();
    }

    @Override
    public String toString() {
        return text;
    }
}
