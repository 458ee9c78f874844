package repliq.conformance;

/** The script is wrong, or something else came than it says. */
final class Wrong extends RuntimeException {
    private static final long serialVersionUID = 1;

    Wrong(String text) {
        super(text);
    }
}
