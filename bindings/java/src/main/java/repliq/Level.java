package repliq;

/** What a commit survives. */
public enum Level {
    /** The end of the process. */
    PROCESS,
    /** A power cut. */
    POWER;

    int number() {
        return ordinal() + 1;
    }

    static Level of(int number) {
        return number == 1 ? PROCESS : POWER;
    }
}
