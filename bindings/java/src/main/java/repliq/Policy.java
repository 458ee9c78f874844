package repliq;

/** What happens when a handler fails. */
public final class Policy {
    /** Nothing behind the failed message is worked on before it succeeded; it is tried again for ever. */
    public static final Policy BLOCK = new Policy(0, 0, null);
    /**
     * The keys of the failed message are set aside: it and later messages of these keys stay in the queue, and come
     * again when the listener is opened anew. Messages without a key share one.
     */
    public static final Policy PARK = new Policy(1, 0, null);

    private final int number;
    private final int after;
    private final String queue;

    private Policy(int number, int after, String queue) {
        this.number = number;
        this.after = after;
        this.queue = queue;
    }

    /**
     * After so many failures the message moves to another queue of the store, with the reason in the headers
     * {@code repliq-reason}, {@code repliq-failures} and {@code repliq-origin}.
     *
     * @param after failures, at least 1
     * @param queue its name; created on first use
     * @return the policy
     * @throws RepliqException with {@link Code#INVALID} for less than 1
     */
    public static Policy deadLetter(int after, String queue) {
        Check.range(after, 1, Integer.MAX_VALUE, "the number of failures");
        return new Policy(2, after, Check.given(queue, "the queue of dead letters"));
    }

    void pack(Packer to) {
        to.u8(number).i32(after).text(queue);
    }

    @Override
    public String toString() {
        return number == 0 ? "block" : number == 1 ? "park" : "dead letter after " + after + " in " + queue;
    }
}
