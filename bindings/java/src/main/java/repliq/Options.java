package repliq;

/** Options that may hold a password: it is wiped behind the call, however the call ends. */
abstract class Options {
    Options() {}

    abstract void pack(Packer to);

    abstract void wipe();

    /** Lets the caller set them, and packs them behind what is packed. */
    static <O extends Options> Packer set(Packer to, O options, java.util.function.Consumer<? super O> set) {
        boolean done = false;
        try {
            Check.given(set, "the options").accept(options);
            options.pack(to);
            done = true;
            return to;
        } finally {
            options.wipe();
            if (!done) {
                to.wipe();
            }
        }
    }
}
