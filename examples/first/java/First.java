/*
 * The first program: two orders, a clerk who writes invoices, and the proof that she is through.
 *
 * Usage: First [DIRECTORY]
 */

// ANCHOR: program
import java.time.Duration;
import repliq.Commit;
import repliq.Consumer;
import repliq.Message;
import repliq.Place;
import repliq.Queue;
import repliq.Session;
import repliq.Store;

final class First {
    public static void main(String[] args) {
        try (Store store = Store.open(args.length > 0 ? args[0] : "shop")) {
            Queue orders = store.queue("orders");
            Queue invoices = store.queue("invoices");
            Commit ordered;
            try (Session session = store.session(); Consumer clerk = store.consumer("clerk", orders)) {
                // Both orders or neither. When commit returns, they survive a power cut.
                session.put(orders, Message.of("one pound of tea"));
                session.put(orders, Message.of("two pounds of sugar"));
                ordered = session.commit();

                // The clerk takes the orders and writes invoices in one transaction: each order is invoiced once.
                for (Message order : session.receive(clerk, 64, Duration.ofSeconds(1))) {
                    System.out.println(order.sequence() + " " + order.text());
                    session.put(invoices, Message.of("invoice: " + order.text()));
                }
                session.commit();
            }

            // A token says where a transaction is: this one has been handled by the clerk.
            store.await(ordered.token(), Place.consumer("clerk"), Duration.ofSeconds(10));
            System.out.println("the clerk has taken everything");
        }
    }
}
// ANCHOR_END: program
