package repliq;

import java.time.Duration;

/** How a consumer is opened: {@code store.consumer("pricer", orders, o -> o.from(From.NOW))}. */
public final class ConsumerOptions {
    private From from = From.OLDEST;
    private Level ackLevel;
    private boolean shared;
    private boolean keyed;
    private int parallel;
    private int perKey;
    private boolean conflate;
    private boolean keyVersions;
    private int retryMultiplier;
    private long leaseMs;
    private long retryDelayMs;
    private long retryDelayMsMax;
    private int maxDeliveries;
    private Queue deadLetters;
    private AfterDeadLetter afterDeadLetter = AfterDeadLetter.SKIP;

    ConsumerOptions() {}

    /**
     * Where it begins when it is new.
     *
     * @param from {@link From#OLDEST} by default
     * @return this
     */
    public ConsumerOptions from(From from) {
        this.from = Check.given(from, "from");
        return this;
    }

    /**
     * What an acknowledgement survives; with {@link Level#PROCESS} it rides with the next sync.
     *
     * @param ackLevel that of the store by default
     * @return this
     */
    public ConsumerOptions ackLevel(Level ackLevel) {
        this.ackLevel = Check.given(ackLevel, "ackLevel");
        return this;
    }

    /**
     * Whether consumers of this name may be open several times, each message going to one. All have the same options.
     *
     * @param shared no by default
     * @return this
     */
    public ConsumerOptions shared(boolean shared) {
        this.shared = shared;
        return this;
    }

    /**
     * Whether messages of one key are handed out one after the other. A key is busy until what was handed out of it is
     * acknowledged or given back.
     *
     * @param keyed no by default
     * @return this
     */
    public ConsumerOptions keyed(boolean keyed) {
        this.keyed = keyed;
        return this;
    }

    /**
     * How many messages may be out at a time over all that share it.
     *
     * @param parallel 0 by default, for no bound
     * @return this
     */
    public ConsumerOptions parallel(int parallel) {
        this.parallel = Check.range(parallel, 0, Integer.MAX_VALUE, "parallel");
        return this;
    }

    /**
     * How many messages of one key one receive may hand out together.
     *
     * @param perKey 1 by default
     * @return this
     */
    public ConsumerOptions perKey(int perKey) {
        this.perKey = Check.range(perKey, 0, Integer.MAX_VALUE, "perKey");
        return this;
    }

    /**
     * Whether of the messages of one key that wait the newest is handed out alone, and those before it never. It needs
     * {@link #keyed(boolean)}, and no {@link #perKey(int)}.
     *
     * @param conflate no by default
     * @return this
     */
    public ConsumerOptions conflate(boolean conflate) {
        this.conflate = conflate;
        return this;
    }

    /**
     * Whether a message whose header {@code repliq-version}, a number, is not above the last one of its key that was
     * acknowledged is acknowledged and not handed out. It needs {@link #keyed(boolean)}, and no {@link #perKey(int)}.
     *
     * @param keyVersions no by default
     * @return this
     */
    public ConsumerOptions keyVersions(boolean keyVersions) {
        this.keyVersions = keyVersions;
        return this;
    }

    /**
     * After how long another may be handed what this one has.
     *
     * @param lease 0 by default, for never; taken to the millisecond
     * @return this
     */
    public ConsumerOptions lease(Duration lease) {
        leaseMs = Check.milliseconds(lease, "lease");
        return this;
    }

    /**
     * The time before a message that was given back, or rolled back, comes again.
     *
     * @param retryDelay 0 by default, for at once; taken to the millisecond
     * @return this
     */
    public ConsumerOptions retryDelay(Duration retryDelay) {
        retryDelayMs = Check.milliseconds(retryDelay, "retryDelay");
        return this;
    }

    /**
     * What that is multiplied by with each further time.
     *
     * @param retryMultiplier 1 by default
     * @return this
     */
    public ConsumerOptions retryMultiplier(int retryMultiplier) {
        this.retryMultiplier = Check.range(retryMultiplier, 0, Integer.MAX_VALUE, "retryMultiplier");
        return this;
    }

    /**
     * What it grows to at most.
     *
     * @param retryDelayMax 0 by default, for no bound; taken to the millisecond
     * @return this
     */
    public ConsumerOptions retryDelayMax(Duration retryDelayMax) {
        retryDelayMsMax = Check.milliseconds(retryDelayMax, "retryDelayMax");
        return this;
    }

    /**
     * How often a message is handed out at most; one that comes back from the last time moves to the dead letters.
     *
     * @param maxDeliveries 0 by default, for any number of times
     * @return this
     */
    public ConsumerOptions maxDeliveries(int maxDeliveries) {
        this.maxDeliveries = Check.range(maxDeliveries, 0, Integer.MAX_VALUE, "maxDeliveries");
        return this;
    }

    /**
     * The queue it moves to, with headers that say why, how often, when and from where.
     *
     * @param deadLetters none by default; goes with {@link #maxDeliveries(int)}
     * @return this
     */
    public ConsumerOptions deadLetters(Queue deadLetters) {
        this.deadLetters = Check.given(deadLetters, "deadLetters");
        return this;
    }

    /**
     * What the rest of a key does behind a dead letter, where messages of one key are handed out one after the other.
     *
     * @param afterDeadLetter {@link AfterDeadLetter#SKIP} by default
     * @return this
     */
    public ConsumerOptions afterDeadLetter(AfterDeadLetter afterDeadLetter) {
        this.afterDeadLetter = Check.given(afterDeadLetter, "afterDeadLetter");
        return this;
    }

    void pack(Packer to) {
        to.from(from).level(ackLevel).flag(shared).flag(keyed).i32(parallel).i32(perKey).i32(retryMultiplier);
        to.i64(leaseMs).i64(retryDelayMs).i64(retryDelayMsMax).i32(maxDeliveries);
        to.i32(deadLetters == null ? 0 : deadLetters.number()).u8(afterDeadLetter.ordinal())
            .flag(conflate).flag(keyVersions);
    }
}
