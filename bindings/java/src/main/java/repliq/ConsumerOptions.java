package repliq;

/** How a consumer is opened: {@code store.consumer("pricer", orders, o -> o.from(From.NOW))}. */
public final class ConsumerOptions {
    private From from = From.OLDEST;
    private Level ackLevel;

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

    void pack(Packer to) {
        to.from(from).level(ackLevel);
    }
}
