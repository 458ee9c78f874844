package repliq;

import java.time.Duration;

/** How a store is opened: {@code Store.open(path, o -> o.password(password).level(Level.PROCESS))}. */
public final class StoreOptions extends Options {
    private byte[] password;
    private boolean create = true;
    private boolean readOnly;
    private boolean helper = true;
    private Level level;
    private long segmentBytes = -1;
    private long segmentBytesMax = -1;
    private long keepMs = -1;
    private long keepBytes = -1;
    private long quotaBytes = -1;

    StoreOptions() {}

    /**
     * Encrypts the store, which it must be from its creation on.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public StoreOptions password(char[] password) {
        return secret(Secret.of(password));
    }

    /**
     * Encrypts the store, which it must be from its creation on.
     *
     * @param password a copy is taken, and wiped after the call; the array stays the caller's, to be wiped by it
     * @return this
     */
    public StoreOptions password(byte[] password) {
        return secret(Secret.of(password));
    }

    /**
     * Encrypts the store, which it must be from its creation on. A text cannot be wiped: prefer an array.
     *
     * @param password taken as UTF-8
     * @return this
     */
    public StoreOptions password(String password) {
        return secret(Secret.of(password));
    }

    /**
     * Whether a store is created where there is none.
     *
     * @param create yes by default
     * @return this
     */
    public StoreOptions create(boolean create) {
        this.create = create;
        return this;
    }

    /**
     * Opens for looking only, also while another process writes and when the store is damaged.
     *
     * @param readOnly no by default
     * @return this
     */
    public StoreOptions readOnly(boolean readOnly) {
        this.readOnly = readOnly;
        return this;
    }

    /**
     * Lets a thread prepare segments ahead and give dead ones back.
     *
     * @param helper yes by default
     * @return this
     */
    public StoreOptions helper(boolean helper) {
        this.helper = helper;
        return this;
    }

    /**
     * What commits survive that name no level.
     *
     * @param level {@link Level#POWER} by default
     * @return this
     */
    public StoreOptions level(Level level) {
        this.level = Check.given(level, "level");
        return this;
    }

    /**
     * The first segment.
     *
     * @param segmentBytes a power of two from 4096 on; 65536 by default
     * @return this
     */
    public StoreOptions segmentBytes(long segmentBytes) {
        this.segmentBytes = Check.positive(segmentBytes, "segmentBytes");
        return this;
    }

    /**
     * The largest segment. Transactions above 1 MiB, or a quarter of it where that is less, are staged in files
     * of their own.
     *
     * @param segmentBytesMax a power of two up to 67108864, which is the default
     * @return this
     */
    public StoreOptions segmentBytesMax(long segmentBytesMax) {
        this.segmentBytesMax = Check.positive(segmentBytesMax, "segmentBytesMax");
        return this;
    }

    /**
     * How long data stays after the slowest target has it.
     *
     * @param keep a day by default; taken to the millisecond
     * @return this
     */
    public StoreOptions keep(Duration keep) {
        keepMs = Check.milliseconds(keep, "keep");
        return this;
    }

    /**
     * How much of it stays at most.
     *
     * @param keepBytes bytes; 1 GiB by default
     * @return this
     */
    public StoreOptions keepBytes(long keepBytes) {
        this.keepBytes = Check.positive(keepBytes, "keepBytes");
        return this;
    }

    /**
     * How many bytes all segment files of the store may have together. At the bound puts answer
     * {@link Code#NO_SPACE} until something was acknowledged, purged or deleted.
     *
     * @param quotaBytes bytes, at least 16 times those of the first segment; 0, the default, for no bound but the disk
     * @return this
     */
    public StoreOptions quotaBytes(long quotaBytes) {
        this.quotaBytes = Check.positive(quotaBytes, "quotaBytes");
        return this;
    }

    @Override
    void pack(Packer to) {
        to.bytes(password).flag(create).flag(readOnly).flag(helper).level(level);
        to.i64(segmentBytes).i64(segmentBytesMax).i64(keepMs).i64(keepBytes).i64(quotaBytes);
    }

    /** Another one than before, which is wiped. */
    private StoreOptions secret(byte[] secret) {
        wipe();
        password = secret;
        return this;
    }

    @Override
    void wipe() {
        Secret.wipe(password);
    }
}
