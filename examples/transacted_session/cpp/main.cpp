// The session tutorial: money moves between two ledgers, and none is lost or made, wherever the program is stopped.
//
// Usage: transacted_session [DIRECTORY [TRANSFERS [step]]]
//
// A ledger is a queue that holds one message: its balance, and the number of the transfer that led to it. A transfer
// takes both balances and puts both new ones and a line for the records, in one transaction. With `step` the program
// waits for Enter after each step: kill it at any, and run it again.

#include <repliq.hpp>

#include <iostream>
#include <optional>
#include <sstream>
#include <string>

using namespace std::chrono_literals;

struct account {
    long balance, number;
};

// The balance that is next in a ledger, and its number; nothing before the accounts were opened.
static std::optional<account> take(repliq::session &session, repliq::consumer &ledger)
{
    for (const repliq::received &message : session.receive(ledger, 1, 0s)) {
        std::istringstream text{std::string(message.payload())};
        account found{};
        text >> found.balance >> found.number;
        return found;
    }
    return std::nullopt;
}

int main(int argc, char **argv)
try {
    const long transfers = argc > 2 ? std::stol(argv[2]) : 10;
    auto step = [by_steps = argc > 3](long number, const char *what) {
        std::cout << number << " " << what << std::endl;
        std::string enter;
        if (by_steps) std::getline(std::cin, enter);
    };
    repliq::store store(argc > 1 ? argv[1] : "bank");
    repliq::queue alice = store.queue("ledger/alice"), bob = store.queue("ledger/bob");
    repliq::queue records = store.queue("transfers");

    // ANCHOR: transfer
    repliq::consumer of_alice = store.consumer("teller", alice), of_bob = store.consumer("teller", bob);
    repliq::session session = store.session(); // at its end the balances that were taken last go back
    for (;;) {
        std::optional<account> has = take(session, of_alice), gets = take(session, of_bob);
        if (!has || !gets) {
            // The first run: both accounts are opened, or none.
            session.put(alice, "1000 0");
            session.put(bob, "1000 0");
            session.commit();
            continue;
        }
        if (has->number >= transfers) {
            std::cout << "alice " << has->balance << ", bob " << gets->balance << ", together "
                      << has->balance + gets->balance << "\n";
            break;
        }
        const long number = has->number + 1;
        step(number, "taken");

        const long amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
        const std::string mark = " " + std::to_string(number);
        session.put(alice, std::to_string(has->balance - amount) + mark);
        session.put(bob, std::to_string(gets->balance + amount) + mark);
        session.put(records, std::to_string(number) + " " + std::to_string(amount));
        step(number, "put");

        // Both old balances are gone and all three messages are there, or nothing has happened.
        session.commit();
        step(number, "committed");
    }
    // ANCHOR_END: transfer
} catch (const std::exception &error) {
    std::cerr << "transacted_session: " << error.what() << "\n";
    return 1;
}
