/*
 * The tutorial of prepared transactions: money moves between two banks, each with a store of its own, and none is lost or
 * made, wherever the program is stopped.
 *
 * Usage: TwoBanks [NAME [TRANSFERS [step]]]
 *
 * A bank is a store with a book of one page: its balance, and the number of the transfer that led to it. A transfer is a
 * transaction in each bank. Both are prepared, then the page of the coordinator's book says what becomes of them, and then
 * they end as it says. The stores are the directories NAME.east, NAME.west and NAME.notes. With `step` the program waits
 * for Enter after each step: kill it at any, and run it again.
 */

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import repliq.Consumer;
import repliq.Message;
import repliq.Queue;
import repliq.RepliqException;
import repliq.Session;
import repliq.Store;
import repliq.TransactionId;

final class TwoBanks {
    private static boolean bySteps;

    private static void step(long number, String what) throws IOException {
        System.out.println(number + " " + what);
        for (int read = ' '; bySteps && read != '\n' && read >= 0;) {
            read = System.in.read();
        }
    }

    /** A store with a queue of one message, and the session that has taken it; at its end that goes back. */
    private static final class Book implements AutoCloseable {
        final Store store;
        final Session session;
        private final Queue page;
        private final Consumer reader;

        Book(String directory) {
            store = Store.open(directory);
            page = store.queue("page");
            reader = store.consumer("reader", page);
            session = store.session();
        }

        /** What stands on the page; on a new one {@code first}, which is written. */
        String take(String first) {
            while (true) {
                List<Message> taken = session.receive(reader, 1, Duration.ZERO);
                if (!taken.isEmpty()) {
                    return taken.get(0).text();
                }
                put(first);
                session.commit();
            }
        }

        /** The balance, and the number of the last transfer. */
        long[] balance() {
            String[] words = take("1000 0").split(" ");
            return new long[] {Long.parseLong(words[0]), Long.parseLong(words[1])};
        }

        /** Writes what takes the place of what was taken. */
        void put(String text) {
            session.put(page, Message.of(text));
        }

        /** Turns the page, durably. */
        void write(String text) {
            put(text);
            session.commit();
            take("");
        }

        /** Ends a transaction that may be prepared. */
        void finish(String id, boolean commit) {
            try {
                store.finish(TransactionId.parse(id), commit);
            } catch (RepliqException.NoSuchName never) {
                // It never was, or the end of it was a day ago.
            }
        }

        @Override
        public void close() {
            session.close();
            reader.close();
            store.close();
        }
    }

    public static void main(String[] args) throws IOException {
        String name = args.length > 0 ? args[0] : "banks";
        long transfers = args.length > 1 ? Long.parseLong(args[1]) : 10;
        bySteps = args.length > 2;
        try (Book east = new Book(name + ".east");
                Book west = new Book(name + ".west");
                Book notes = new Book(name + ".notes")) {
            // ANCHOR: recover
            // What the last run left: both transfers end as the note says.
            String[] note = notes.take("nothing").split(" ");
            if (note.length == 3) {
                east.finish(note[1], note[0].equals("commit"));
                west.finish(note[2], note[0].equals("commit"));
            }
            // ANCHOR_END: recover
            while (true) {
                long[] has = east.balance();
                long[] gets = west.balance();
                if (has[1] >= transfers) {
                    System.out.printf("east %d, west %d, together %d%n", has[0], gets[0], has[0] + gets[0]);
                    break;
                }
                transfer(east, west, notes, has, gets);
            }
        }
    }

    private static void transfer(Book east, Book west, Book notes, long[] has, long[] gets) throws IOException {
        long number = has[1] + 1;
        step(number, "taken");

        // ANCHOR: transfer
        long amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
        east.put((has[0] - amount) + " " + number);
        west.put((gets[0] + amount) + " " + number);
        TransactionId ofEast = east.session.id();
        TransactionId ofWest = west.session.id();

        // From here on somebody knows what may have to be rolled back.
        notes.write("rollback " + ofEast.text() + " " + ofWest.text());
        step(number, "noted");
        byte[] xid = ("transfer " + number).getBytes(StandardCharsets.UTF_8);
        east.session.prepare(xid);
        step(number, "prepared in the east");
        west.session.prepare(xid);
        step(number, "prepared in the west");

        // Both can be committed, whatever happens. This one commit decides.
        notes.write("commit " + ofEast.text() + " " + ofWest.text());
        step(number, "decided");
        east.store.finish(ofEast, true);
        step(number, "committed in the east");
        west.store.finish(ofWest, true);
        step(number, "committed");
        // ANCHOR_END: transfer
    }
}
