package repliq;

/** The numbers of the verbs, as in {@code verbs.rs}. */
final class Verb {
    static final int VERSION = 0;
    static final int FREE = 1;
    static final int LOG_LEVEL = 2;
    static final int LOG_TAKE = 3;
    static final int TOKEN_PARSE = 4;
    static final int TOKEN_TEXT = 5;
    static final int TOKEN_JOIN = 6;
    static final int CODES = 7;
    static final int ABI = 8;
    static final int TOKEN_IS_EMPTY = 9;

    static final int STORE_OPEN = 10;
    static final int STORE_CLOSE = 11;
    static final int STORE_QUEUE = 12;
    static final int STORE_RESTORE = 13;
    static final int QUEUE_PAUSE = 14;
    static final int QUEUE_RESUME = 15;
    static final int QUEUE_PURGE = 16;
    static final int QUEUE_DELETE = 17;
    static final int STORE_PUT = 18;
    static final int STORE_PUT_START = 19;
    static final int SESSION_OPEN = 20;
    static final int CONSUMER_OPEN = 21;
    static final int CONSUMER_DELETE = 22;
    static final int SNAPSHOT_OPEN = 23;
    static final int STORE_WAIT = 24;
    static final int STORE_WATCH = 25;
    static final int STORE_STATUS = 26;
    static final int STORE_PASSWORD = 27;
    static final int STORE_IS_ENCRYPTED = 28;
    static final int STORE_BACKUP = 29;
    static final int QUEUE_REDRIVE = 30;
    static final int QUEUE_NAME = 31;
    static final int STORE_IS_REMOTE = 32;
    static final int STORE_RESOLVE = 33;
    static final int STORE_FINISH = 34;
    static final int STORE_PREPARED = 35;

    static final int SESSION_COMMIT = 40;
    static final int SESSION_COMMIT_START = 41;
    static final int SESSION_ROLLBACK = 42;
    static final int SESSION_ID = 43;
    static final int SESSION_PREPARE = 44;

    static final int CONSUMER_ACK = 50;
    static final int CONSUMER_REJECT = 51;
    static final int CONSUMER_SEEK = 52;
    static final int CONSUMER_CLOSE = 53;
    static final int CONSUMER_WATCH = 54;
    static final int SNAPSHOT_BROWSE = 55;
    static final int CONSUMER_RENEW = 56;

    static final int LISTENER_OPEN = 60;
    static final int LISTENER_STOP = 61;
    static final int LISTENER_STATUS = 62;

    static final int PORT_OPEN = 70;
    static final int PORT_DRAIN = 71;
    static final int PORT_CANCEL = 72;
    static final int PORT_CLOSE = 73;
    static final int PORT_FD = 74;

    static final int REPLICATION_OPEN = 80;
    static final int REPLICATION_ADD = 81;
    static final int REPLICATION_REMOVE = 82;
    static final int REPLICATION_SKIP = 83;
    static final int REPLICATION_ACCEPT_GAP = 84;
    static final int REPLICATION_SEND = 85;
    static final int REPLICATION_START_JOB = 86;
    static final int REPLICATION_END_JOB = 87;
    static final int REPLICATION_ABORT_JOB = 88;
    static final int REPLICATION_PUSH = 89;
    static final int REPLICATION_STATUS = 90;
    static final int REPLICATION_CLOSE = 92;
    static final int REPLICATION_SETTLE = 93;
    static final int REPLICATION_TARGETS = 94;
    static final int REPLICATION_TARGET = 95;

    static final int SERVER_OPEN = 100;
    static final int SERVER_STATUS = 101;
    static final int SERVER_RELOAD = 102;
    static final int SERVER_CLOSE = 103;
    static final int SERVER_ADDRESSES = 104;

    static final int TRANSACTION_ID_PARSE = 110;

    private Verb() {}
}
