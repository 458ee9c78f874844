package repliq;

import java.lang.System.Logger;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Hands the lines of the library's log to {@link System.Logger}, on a thread of its own. */
final class Log {
    private static final Logger ROOT = System.getLogger("repliq");
    /** How long to wait for lines before looking at the level again. */
    private static final long WAIT_MS = 250;
    /** By number: error, warn, info, debug, trace. */
    private static final Logger.Level[] LEVELS = {
        Logger.Level.OFF, Logger.Level.ERROR, Logger.Level.WARNING, Logger.Level.INFO, Logger.Level.DEBUG,
        Logger.Level.TRACE
    };

    private final Map<String, Logger> loggers = new ConcurrentHashMap<>();
    private int level = -1;

    private Log() {}

    /** The logger of what listeners have to say. */
    static Logger logger(String target) {
        return System.getLogger(target);
    }

    static void start() {
        Log log = new Log();
        log.follow();
        Thread thread = new Thread(log::run, "repliq-log");
        thread.setDaemon(true);
        thread.start();
    }

    /** Asks the library for as much as somebody reads. */
    private void follow() {
        int wanted = LEVELS.length - 1;
        while (wanted > 0 && !ROOT.isLoggable(LEVELS[wanted])) {
            wanted--;
        }
        if (wanted != level) {
            level = wanted;
            new Packer().u8(wanted).call(Verb.LOG_LEVEL, 0);
        }
    }

    private void run() {
        for (;;) {
            try {
                take(new Packer().i64(WAIT_MS).call(Verb.LOG_TAKE, 0));
                follow();
            } catch (RuntimeException error) {
                // Of the logger of the program: its lines are lost, and the next ones may not be.
                Thread.yield();
            }
        }
    }

    private void take(Unpacker lines) {
        long dropped = lines.i64();
        if (dropped > 0) {
            ROOT.log(Logger.Level.WARNING, "{0} lines of the log came too fast and were dropped", dropped);
        }
        int count = lines.i32();
        for (int at = 0; at < count; at++) {
            Logger.Level level = LEVELS[Math.min(lines.u8(), LEVELS.length - 1)];
            String target = lines.text();
            String text = lines.text();
            loggers.computeIfAbsent(target.replace("::", "."), System::getLogger).log(level, () -> text);
        }
    }
}
