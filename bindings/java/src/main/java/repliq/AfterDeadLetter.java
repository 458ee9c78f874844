package repliq;

/** What the rest of a key does whose message became a dead letter. */
public enum AfterDeadLetter {
    /** It goes on. */
    SKIP,
    /** It waits until the letter is put back, or dropped. */
    BLOCK,
    /** It becomes dead letters, too, until these are put back, or dropped. */
    PARK
}
