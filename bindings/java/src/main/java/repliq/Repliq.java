package repliq;

/** The library. */
public final class Repliq {
    private Repliq() {}

    /**
     * The version of the native library.
     *
     * @return such as {@code 0.1.0}
     * @throws RepliqException with {@link Code#UNSUPPORTED} where it cannot be loaded, with every place that was tried
     */
    public static String version() {
        Library.load();
        return new Packer().call(Verb.VERSION, 0).rest();
    }

    /**
     * The number of the ABI of the native library.
     *
     * @return the same as that of C
     */
    public static int abi() {
        Library.load();
        return new Packer().call(Verb.ABI, 0).i32();
    }
}
