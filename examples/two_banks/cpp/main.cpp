// The tutorial of prepared transactions: money moves between two banks, each with a store of its own, and none is lost or
// made, wherever the program is stopped.
//
// Usage: two_banks [NAME [TRANSFERS [step]]]
//
// A bank is a store with a book of one page: its balance, and the number of the transfer that led to it. A transfer is a
// transaction in each bank. Both are prepared, then the page of the coordinator's book says what becomes of them, and then
// they end as it says. The stores are the directories NAME.east, NAME.west and NAME.notes. With `step` the program waits for
// Enter after each step: kill it at any, and run it again.

#include <repliq.hpp>

#include <iostream>
#include <sstream>
#include <string>

using namespace std::chrono_literals;

// A store with a queue of one message, and the session that has taken it; at its end that goes back.
class book {
public:
    explicit book(const std::string &directory)
        : store(directory),
          page(store.queue("page")),
          reader(store.consumer("reader", page)),
          session(store.session())
    {
    }

    // What stands on the page; on a new one `first`, which is written.
    std::string take(const std::string &first)
    {
        for (;;) {
            for (const repliq::received &taken : session.receive(reader, 1, 0s)) return std::string(taken.payload());
            put(first);
            session.commit();
        }
    }

    // Writes what takes the place of what was taken.
    void put(const std::string &text) { session.put(page, text); }

    // Turns the page, durably.
    void write(const std::string &text)
    {
        put(text);
        session.commit();
        take("");
    }

    // Ends a transaction that may be prepared.
    void finish(const std::string &id, bool commit)
    try {
        store.finish(repliq::transaction_id::parse(id), commit);
    } catch (const repliq::error &error) {
        // It never was, or the end of it was a day ago.
        if (error.value() != repliq::code::no_such_name) throw;
    }

    repliq::store store;
    repliq::queue page;
    repliq::consumer reader;
    repliq::session session;
};

struct account {
    // The balance, and the number of the last transfer.
    explicit account(book &of)
    {
        std::istringstream text(of.take("1000 0"));
        text >> balance >> number;
    }

    long balance = 0, number = 0;
};

int main(int argc, char **argv)
try {
    const std::string name = argc > 1 ? argv[1] : "banks";
    const long transfers = argc > 2 ? std::stol(argv[2]) : 10;
    auto step = [by_steps = argc > 3](long number, const char *what) {
        std::cout << number << " " << what << std::endl;
        std::string enter;
        if (by_steps) std::getline(std::cin, enter);
    };
    book east(name + ".east"), west(name + ".west"), notes(name + ".notes");

    // ANCHOR: recover
    // What the last run left: both transfers end as the note says.
    std::istringstream note(notes.take("nothing"));
    std::string what, in_east, in_west;
    if (note >> what >> in_east >> in_west) {
        east.finish(in_east, what == "commit");
        west.finish(in_west, what == "commit");
    }
    // ANCHOR_END: recover

    for (;;) {
        const account has(east), gets(west);
        if (has.number >= transfers) {
            std::cout << "east " << has.balance << ", west " << gets.balance << ", together "
                      << has.balance + gets.balance << "\n";
            break;
        }
        const long number = has.number + 1;
        step(number, "taken");

        // ANCHOR: transfer
        const long amount = number * 7 % 100 * (number % 2 == 0 ? -1 : 1);
        const std::string mark = " " + std::to_string(number);
        east.put(std::to_string(has.balance - amount) + mark);
        west.put(std::to_string(gets.balance + amount) + mark);
        const repliq::transaction_id of_east = east.session.id(), of_west = west.session.id();
        const std::string both = of_east.text() + " " + of_west.text();

        // From here on somebody knows what may have to be rolled back.
        notes.write("rollback " + both);
        step(number, "noted");
        const std::string xid = "transfer" + mark;
        east.session.prepare(xid);
        step(number, "prepared in the east");
        west.session.prepare(xid);
        step(number, "prepared in the west");

        // Both can be committed, whatever happens. This one commit decides.
        notes.write("commit " + both);
        step(number, "decided");
        east.store.finish(of_east, true);
        step(number, "committed in the east");
        west.store.finish(of_west, true);
        step(number, "committed");
        // ANCHOR_END: transfer
    }
} catch (const std::exception &error) {
    std::cerr << "two_banks: " << error.what() << "\n";
    return 1;
}
