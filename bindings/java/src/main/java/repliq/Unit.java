package repliq;

/** What one call of a handler gets. */
public enum Unit {
    /** One message: {@link Consumer#listen}. */
    MESSAGE,
    /** All messages of a transaction: {@link Consumer#listenJobs}. */
    JOB
}
