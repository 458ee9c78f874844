package repliq;

/** Closing, the same for all that is closed by a verb first. */
final class Handles {
    private Handles() {}

    /** Calls the verb that ends the use, which wakes who waits inside, and lets nobody in any more. */
    static void close(Handle handle, int verb) {
        if (handle.isClosed()) {
            return;
        }
        try {
            handle.call(verb);
        } catch (RepliqException.Closed error) {
            // Another thread was faster.
            return;
        } finally {
            handle.close();
        }
    }
}
