package repliq;

import java.time.Duration;

/**
 * How a listener works: {@code consumer.listen(handler, o -> o.policy(Policy.PARK))}. What other languages call the option
 * {@code unit} is here the choice between {@link Consumer#listen} and {@link Consumer#listenJobs}.
 */
public final class ListenerOptions {
    private Policy policy = Policy.BLOCK;
    private long retryMs = -1;
    private long retryMsMax = -1;
    private int threads = 1;

    ListenerOptions() {}

    /**
     * What happens to a message that cannot be handled.
     *
     * @param policy {@link Policy#BLOCK} by default
     * @return this
     */
    public ListenerOptions policy(Policy policy) {
        this.policy = Check.given(policy, "policy");
        return this;
    }

    /**
     * The time before the first new try; doubled with each.
     *
     * @param retry 100 ms by default; taken to the millisecond
     * @return this
     */
    public ListenerOptions retry(Duration retry) {
        retryMs = Check.milliseconds(retry, "retry");
        return this;
    }

    /**
     * The time between two tries at most.
     *
     * @param retryMax 10 s by default; taken to the millisecond
     * @return this
     */
    public ListenerOptions retryMax(Duration retryMax) {
        retryMsMax = Check.milliseconds(retryMax, "retryMax");
        return this;
    }

    /**
     * Threads that call the handler. With several of them it is called by several at once, and there is no order but that
     * of the keys of a {@link ConsumerOptions#keyed} consumer.
     *
     * @param threads 1 by default, at most 1,024
     * @return this
     */
    public ListenerOptions threads(int threads) {
        this.threads = Check.range(threads, 1, 1_024, "threads");
        return this;
    }

    void pack(Packer to, Unit unit) {
        to.flag(unit == Unit.JOB);
        policy.pack(to);
        to.i64(retryMs).i64(retryMsMax).i32(threads);
    }
}
