// The registry tutorial: changes of a public registry are worked on by sixteen workers, those of one record in order,
// and each is acknowledged by the commit of its work.
//
// Usage: registry [DIRECTORY [RECORDS [FILE...]]]
//
// The files are those of the Debian package ieee-data: a record a line, its key in the second column; RECORDS is how many
// are taken, 0 for all. Each becomes a notice in the queue `feed`, and some that must not matter are thrown in: notices
// that come twice, versions that are out of date, and a few that nobody can read. A worker builds what a notice asks for
// in 10 ms and puts it into the queue `replica`. Every second one of them dies in the middle of it, and for a while what
// they build for is down. At the end the replica is what one worker alone would have made. Stop the program wherever
// you like and run it again: it goes on.

#include <repliq.hpp>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr int workers = 16;
constexpr auto build = 10ms;
// When what the workers build for is down, behind the start.
constexpr auto down_from = 500ms, down_to = 1500ms;

// The key of a record, and what is to be done with it: a version, a blank and the record.
struct notice {
    std::string key, payload;
};

using table = std::unordered_map<std::string, std::string>;

// The records of a file: quotes may hold commas and ends of lines, and the first line is the title.
static std::vector<notice> records(const std::string &file)
{
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + file);
    std::stringstream all;
    all << in.rdbuf();
    const std::string text = all.str();
    std::vector<notice> found;
    bool quoted = false;
    for (std::size_t at = 0, start = 0; at < text.size(); ++at) {
        quoted ^= text[at] == '"';
        if (text[at] != '\n' || quoted) continue;
        std::string record = text.substr(start, at - start);
        record.erase(record.find_last_not_of(" \t\r\n\f") + 1);
        const std::size_t comma = record.find(',');
        const std::size_t key = comma == std::string::npos ? record.size() : comma + 1;
        found.push_back({record.substr(key, record.find(',', key) - key), record});
        start = at + 1;
    }
    if (!found.empty()) found.erase(found.begin());
    return found;
}

// Notices of all records, with what must not matter thrown in; and what the replica is in the end.
static std::vector<notice> notices_of(const std::vector<notice> &records, table &expected)
{
    std::vector<notice> notices;
    std::unordered_map<std::string, long> versions;
    for (std::size_t at = 0; at < records.size(); ++at) {
        const auto &[key, record] = records[at];
        const long version = versions[key] += 2;
        const std::string payload = std::to_string(version) + " " + record;
        notices.push_back({key, payload});
        if (at % 5 == 0) notices.push_back({key, payload});
        if (at % 7 == 0) notices.push_back({key, std::to_string(version - 1) + " out of date"});
        if (at % 400 == 399) notices.push_back({key, "damaged"});
        expected[key] = payload;
    }
    return notices;
}

// The version at the beginning of a payload; 0 where there is none.
static long version_of(std::string_view payload)
{
    long version = 0;
    auto [end, error] = std::from_chars(payload.data(), payload.data() + payload.size(), version);
    return error == std::errc() && end != payload.data() + payload.size() && *end == ' ' ? version : 0;
}

// ANCHOR: feed
// Puts all notices in one transaction; or none, where an earlier run has done it, which the producer's numbers tell.
static repliq::token feed_all(repliq::store &store, const repliq::queue &queue, const std::vector<notice> &notices)
{
    auto message = [&](std::size_t at) {
        repliq::message made(notices[at].payload);
        made.key = notices[at].key;
        made.producer = "registry";
        made.producer_sequence = at + 1;
        return made;
    };
    try {
        // Where it is there already nothing is put, and this is the token of then.
        return queue.put(message(notices.size() - 1)).token;
    } catch (const repliq::error &error) {
        if (error.code() != repliq::code::out_of_order) throw;
    }
    repliq::session session = store.session();
    for (std::size_t at = 0; at < notices.size(); ++at) session.put(queue, message(at));
    return session.commit().token;
}
// ANCHOR_END: feed

// What the workers share.
struct shop {
    repliq::store &store;
    repliq::queue feed = store.queue("feed"), replica = store.queue("replica"), dead = store.queue("dead");
    steady::time_point begun = steady::now();
    std::mutex mutex;
    // By key, the version that the replica has.
    std::unordered_map<std::string, long> versions;
    std::exception_ptr failure;
    std::atomic<bool> kill{false}, over{false};
    std::atomic<long> done{0}, known{0}, in_flight{0}, retried{0}, killed{0};

    explicit shop(repliq::store &of) : store(of)
    {
        // What an earlier run has done counts.
        each(replica, [&](const repliq::received &one) { versions[std::string(one.key())] = version_of(one.payload()); });
    }

    // ANCHOR: consumer
    // A worker's consumer: it shares its place in the feed with the others, and one key is worked on at a time.
    repliq::consumer consumer() const
    {
        repliq::consumer_options options;
        options.shared = true;
        options.keyed = true;
        options.retry_delay = 50ms;
        options.retry_multiplier = 2;
        options.retry_delay_max = 500ms;
        options.max_deliveries = 20;
        options.dead_letters = dead.number();
        return store.consumer("worker", feed, options);
    }
    // ANCHOR_END: consumer

    // Works until there is nothing more to do, or until it dies.
    void work()
    {
        // What a worker has when it dies goes to the others, as its session and its consumer are closed.
        repliq::consumer from = consumer();
        repliq::session session = store.session();
        while (!over) {
            for (const repliq::received &notice : session.receive(from, 1, 100ms)) {
                ++in_flight;
                const bool lives = one(from, session, notice);
                --in_flight;
                if (!lives) return;
            }
        }
    }

    // ANCHOR: work
    // Works on one notice; false where the worker dies in the middle of it.
    bool one(repliq::consumer &from, repliq::session &session, const repliq::received &notice)
    {
        const std::string key(notice.key());
        const long version = version_of(notice.payload());
        if (version == 0) {
            fail(from, session, notice, 1ms, "this is no notice");
            return true;
        }
        if (version <= has(key)) {
            // Already processed, or out of date: nothing to do, and so it is done.
            session.commit();
            ++known;
            return true;
        }
        std::this_thread::sleep_for(build);
        if (kill.exchange(false)) {
            ++killed;
            return false;
        }
        const auto since = steady::now() - begun;
        if (since >= down_from && since < down_to) {
            fail(from, session, notice, 0ms, "the replica is down");
            return true;
        }
        repliq::message made(notice.payload());
        made.key = key;
        session.put(replica, made);
        // Nobody else looks at this key before the commit: until then it is this worker's.
        has(key, version);
        session.commit();
        ++done;
        return true;
    }

    // Gives a notice back, for later; after twenty times it is a dead letter, with the reason.
    void fail(repliq::consumer &from, repliq::session &session, const repliq::received &notice,
              std::chrono::milliseconds delay, const char *reason)
    {
        ++retried;
        from.reject(notice, delay, reason);
        session.rollback();
    }
    // ANCHOR_END: work

    // The version that the replica has of a key; with another argument it is that from now on.
    long has(const std::string &key, long version = 0)
    {
        std::lock_guard<std::mutex> lock(mutex);
        long &known = versions[key];
        return version == 0 ? known : known = version;
    }

    // Works, and when the worker has died another takes its place.
    void run() noexcept
    try {
        while (!over) work();
    } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        failure = std::current_exception();
        over = true;
    }

    // All that is in a queue, in order.
    template <class See> long each(const repliq::queue &queue, See see) const
    {
        repliq::snapshot snapshot = store.snapshot();
        long count = 0;
        for (std::uint64_t next = 1;;) {
            const std::vector<repliq::received> page = snapshot.browse(queue, next, 1000);
            if (page.empty()) return count;
            for (const repliq::received &one : page) see(one);
            count += static_cast<long>(page.size());
            next = page.back().sequence() + 1;
        }
    }

    // Kills a worker a second until all is done, and shows a line of the table, which only a terminal gets.
    void wait(const repliq::token &token)
    {
        repliq::consumer undertaker = store.consumer("undertaker", dead);
        std::size_t letters = 0;
        long before = 0;
        auto last = begun;
        for (int turn = 1; !over; ++turn) {
            std::this_thread::sleep_for(250ms);
            letters += undertaker.receive(1000, 0ms).size();
            const long through = done + known;
            const auto now = steady::now();
            if (isatty(STDOUT_FILENO)) {
                const double rate = static_cast<double>(through - before) / std::chrono::duration<double>(now - last).count();
                std::printf("\rdone %7ld   %6.0f/s   in flight %2ld   retried %5ld   dead %4zu   killed %3ld", through,
                            rate, in_flight.load(), retried.load(), letters, killed.load());
                std::fflush(stdout);
            }
            before = through;
            last = now;
            if (turn % 4 == 0) kill = true;
            try {
                return store.wait(token, 0ms, "consumer:worker");
            } catch (const repliq::error &error) {
                if (error.code() != repliq::code::timeout) throw;
            }
        }
    }
};

// Says what was done, and looks whether the replica is what one worker alone would have made.
static bool report(shop &shop, const std::vector<notice> &notices, const table &expected)
{
    const double seconds = std::chrono::duration<double>(steady::now() - shop.begun).count();
    if (isatty(STDOUT_FILENO)) std::printf("\n");
    std::printf("%ld built and %ld already processed in %.1f s, %ld retried, %ld workers killed\n", shop.done.load(),
                shop.known.load(), seconds, shop.retried.load(), shop.killed.load());
    table replica;
    int wrong = 0;
    shop.each(shop.replica, [&](const repliq::received &one) {
        std::string &made = replica[std::string(one.key())];
        wrong += version_of(one.payload()) <= version_of(made);
        made = std::string(one.payload());
    });
    const long dead = shop.each(shop.dead, [](const repliq::received &) {});
    std::printf("%zu notices of %zu records, %ld dead letters\n", notices.size(), replica.size(), dead);
    if (wrong > 0 || replica != expected) {
        std::fprintf(stderr, "the replica differs, and %d came out of order\n", wrong);
        return false;
    }
    std::printf("the replica is what one worker alone would have made\n");
    return true;
}

int main(int argc, char **argv)
try {
    std::vector<std::string> files(argv + (argc > 3 ? 3 : argc), argv + argc);
    if (files.empty())
        for (const char *name : {"iab", "mam", "oui", "oui36"})
            files.push_back(std::string("/usr/share/ieee-data/") + name + ".csv");
    std::vector<notice> all;
    for (const std::string &file : files)
        for (notice &record : records(file)) all.push_back(std::move(record));
    const std::size_t count = argc > 2 ? std::stoul(argv[2]) : 0;
    if (count > 0 && count < all.size()) all.resize(count);
    if (all.empty()) throw std::runtime_error("there are no records in the files");
    table expected;
    const std::vector<notice> notices = notices_of(all, expected);

    repliq::store store(argc > 1 ? argv[1] : "registry_store");
    shop shop(store);
    {
        repliq::consumer first = shop.consumer();
        const repliq::token token = feed_all(store, shop.feed, notices);
        std::vector<std::thread> threads;
        for (int worker = 0; worker < workers; ++worker) threads.emplace_back([&] { shop.run(); });
        try {
            shop.wait(token);
        } catch (...) {
            shop.failure = std::current_exception();
        }
        shop.over = true;
        for (std::thread &thread : threads) thread.join();
        if (shop.failure) std::rethrow_exception(shop.failure);
    }
    return report(shop, notices, expected) ? 0 : 1;
} catch (const std::exception &error) {
    std::cerr << "registry: " << error.what() << "\n";
    return 1;
}
