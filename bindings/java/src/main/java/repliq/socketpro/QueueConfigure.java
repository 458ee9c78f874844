package repliq.socketpro;

/** What holds for the whole process, from the next Start on. Any thread may call anything. */
public final class QueueConfigure {
    private static volatile String directory = "./";
    private static volatile String password = "";

    private QueueConfigure() {}

    /**
     * Where new settings put their queues.
     *
     * @param dir a directory; a separator at its end is added where it is missing
     */
    public static void SetWorkDirectory(String dir) {
        directory = folder(dir);
    }

    /**
     * Where new settings put their queues.
     *
     * @return a directory with a separator at its end; {@code "./"} where none was set
     */
    public static String GetWorkDirectory() {
        return directory;
    }

    /**
     * Encrypts every store that is opened from now on.
     *
     * @param pwd the password; empty or null for none. It cannot be read back.
     */
    public static void SetMessageQueuePassword(String pwd) {
        password = pwd == null ? "" : pwd;
    }

    static String password() {
        return password;
    }

    /** The path with a separator at its end. */
    static String folder(String path) {
        if (path == null || path.isEmpty()) {
            return "./";
        }
        return path.endsWith("/") ? path : path + "/";
    }
}
