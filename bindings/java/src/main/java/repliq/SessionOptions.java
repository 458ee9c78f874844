package repliq;

import java.time.Duration;

/** How a session is opened: {@code store.session(o -> o.name("mover").takeover(true))}. */
public final class SessionOptions {
    private Level level;
    private String name = "";
    private boolean takeover;
    private int idleMs;
    private long bytesMax;

    SessionOptions() {}

    /**
     * What its commits survive.
     *
     * @param level that of the store by default
     * @return this
     */
    public SessionOptions level(Level level) {
        this.level = Check.given(level, "level");
        return this;
    }

    /**
     * Its name: it is remembered, and open once at a time.
     *
     * @param name none by default
     * @return this
     */
    public SessionOptions name(String name) {
        this.name = Check.given(name, "name");
        return this;
    }

    /**
     * Takes the session of this name over from whoever has it open, who gets {@link Code#FENCED} from then on.
     *
     * @param takeover no by default
     * @return this
     */
    public SessionOptions takeover(boolean takeover) {
        this.takeover = takeover;
        return this;
    }

    /**
     * How long a transaction may be open without a call before it is rolled back, which the next call says.
     *
     * @param idle taken to the millisecond; 0, the default, for no bound, and at a server for its own, a minute
     * @return this
     */
    public SessionOptions idle(Duration idle) {
        long milliseconds = Check.milliseconds(idle, "idle");
        if (milliseconds > 0xffff_ffffL) {
            throw Check.invalid("idle is " + idle + ", too long");
        }
        idleMs = (int) milliseconds;
        return this;
    }

    /**
     * What a transaction may put. The put that makes it larger is refused with {@link Code#QUOTA}, and the transaction can
     * only be rolled back.
     *
     * @param bytesMax bytes, 64 more for each message; 0, the default, for no bound
     * @return this
     */
    public SessionOptions bytesMax(long bytesMax) {
        this.bytesMax = Check.positive(bytesMax, "bytesMax");
        return this;
    }

    Level level() {
        return level;
    }

    Packer pack(Packer to) {
        return to.text(name).flag(takeover).i32(idleMs).i64(bytesMax);
    }
}
