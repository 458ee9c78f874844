// The first program: two orders, a clerk who writes invoices, and the proof that she is through.
//
// Usage: first [DIRECTORY]

// ANCHOR: program
#include <repliq.hpp>

#include <iostream>
#include <string>

using namespace std::chrono_literals;

int main(int argc, char **argv)
try {
    repliq::store store(argc > 1 ? argv[1] : "shop");
    repliq::queue orders = store.queue("orders"), invoices = store.queue("invoices");

    // Both orders or neither. When commit returns, they survive a power cut.
    repliq::session session = store.session();
    session.put(orders, "one pound of tea");
    session.put(orders, "two pounds of sugar");
    repliq::result ordered = session.commit();

    // The clerk takes the orders and writes invoices in one transaction: each order is invoiced once.
    repliq::consumer clerk = store.consumer("clerk", orders);
    for (const repliq::received &order : session.receive(clerk, 64, 1s)) {
        std::cout << order.sequence() << " " << order.payload() << "\n";
        session.put(invoices, "invoice: " + std::string(order.payload()));
    }
    session.commit();

    // A token says where a transaction is: this one has been handled by the clerk.
    store.wait(ordered.token, 10s, "consumer:clerk");
    std::cout << "the clerk has taken everything\n";
} catch (const repliq::error &error) {
    std::cerr << "first: " << error.what() << "\n";
    return 1;
}
// ANCHOR_END: program
