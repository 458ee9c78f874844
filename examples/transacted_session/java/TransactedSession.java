/*
 * The session tutorial: money moves between two ledgers, and none is lost or made, wherever the program is stopped.
 *
 * Usage: TransactedSession [DIRECTORY [TRANSFERS [step]]]
 *
 * A ledger is a queue that holds one message: its balance, and the number of the transfer that led to it. A transfer
 * takes both balances and puts both new ones and a line for the records, in one transaction. With `step` the program
 * waits for Enter after each step: kill it at any, and run it again.
 */

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import repliq.Consumer;
import repliq.Message;
import repliq.Queue;
import repliq.Session;
import repliq.Store;

final class TransactedSession {
    private static boolean bySteps;

    private static void step(long number, String what) throws IOException {
        System.out.println(number + " " + what);
        for (int read = ' '; bySteps && read != '\n' && read >= 0;) {
            read = System.in.read();
        }
    }

    /** The balance that is next in a ledger, and its number; null before the accounts were opened. */
    private static long[] take(Session session, Consumer ledger) {
        List<Message> taken = session.receive(ledger, 1, Duration.ZERO);
        if (taken.isEmpty()) {
            return null;
        }
        String[] words = taken.get(0).text().split(" ");
        return new long[] {Long.parseLong(words[0]), Long.parseLong(words[1])};
    }

    public static void main(String[] args) throws IOException {
        String directory = args.length > 0 ? args[0] : "bank";
        long transfers = args.length > 1 ? Long.parseLong(args[1]) : 10;
        bySteps = args.length > 2;
        try (Store store = Store.open(directory)) {
            Queue alice = store.queue("ledger/alice");
            Queue bob = store.queue("ledger/bob");
            Queue records = store.queue("transfers");
            // ANCHOR: transfer
            // At the end of the session the balances that were taken last go back.
            try (Consumer ofAlice = store.consumer("teller", alice);
                    Consumer ofBob = store.consumer("teller", bob);
                    Session session = store.session()) {
                while (true) {
                    long[] has = take(session, ofAlice);
                    long[] gets = take(session, ofBob);
                    if (has == null || gets == null) {
                        // The first run: both accounts are opened, or none.
                        session.put(alice, Message.of("1000 0"));
                        session.put(bob, Message.of("1000 0"));
                        session.commit();
                        continue;
                    }
                    if (has[1] >= transfers) {
                        System.out.printf("alice %d, bob %d, together %d%n", has[0], gets[0], has[0] + gets[0]);
                        break;
                    }
                    long number = has[1] + 1;
                    step(number, "taken");

                    long amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
                    session.put(alice, Message.of((has[0] - amount) + " " + number));
                    session.put(bob, Message.of((gets[0] + amount) + " " + number));
                    session.put(records, Message.of(number + " " + amount));
                    step(number, "put");

                    // Both old balances are gone and all three messages are there, or nothing has happened.
                    session.commit();
                    step(number, "committed");
                }
            }
            // ANCHOR_END: transfer
        }
    }
}
