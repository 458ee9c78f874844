package repliq;

/** Thrown by the handler of a listener to set its message aside at once, whatever the policy. */
public class Park extends RuntimeException {
    /**
     * With a reason.
     *
     * @param reason what {@link ListenerStatus#parked()} says of it
     */
    public Park(String reason) {
        super(reason);
    }
}
