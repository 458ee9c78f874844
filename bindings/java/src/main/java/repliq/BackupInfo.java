package repliq;

/** What a backup or a restore did. */
public final class BackupInfo {
    private final long epoch;
    private final long sequence;
    private final long files;
    private final long filesCopied;
    private final long bytes;
    private final long bytesCopied;

    BackupInfo(long epoch, long sequence, long files, long filesCopied, long bytes, long bytesCopied) {
        this.epoch = epoch;
        this.sequence = sequence;
        this.files = files;
        this.filesCopied = filesCopied;
        this.bytes = bytes;
        this.bytesCopied = bytesCopied;
    }

    /**
     * The epoch of the last transaction in it.
     *
     * @return from 1 on
     */
    public long epoch() {
        return epoch;
    }

    /**
     * The sequence of the last transaction in it.
     *
     * @return from 1 on
     */
    public long sequence() {
        return sequence;
    }

    /**
     * Files it consists of.
     *
     * @return how many
     */
    public long files() {
        return files;
    }

    /**
     * Files that were copied; the others were there already.
     *
     * @return how many
     */
    public long filesCopied() {
        return filesCopied;
    }

    /**
     * Bytes of all its files.
     *
     * @return how many
     */
    public long bytes() {
        return bytes;
    }

    /**
     * Bytes that were copied.
     *
     * @return how many
     */
    public long bytesCopied() {
        return bytesCopied;
    }
}
