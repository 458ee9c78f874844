/*
 * A store at a server through repliq.hpp: what threads, futures and listeners see of it, and how it ends.
 *
 * Usage: served CASE       CMakeLists.txt makes one test of each line that begins with TEST(
 *
 * What one thread sees is told by tests/conformance, which runs at servers, too.
 */
#include <atomic>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>

#include "cases.hpp"

namespace {

using texts = std::vector<std::string>;

/** A directory, its server, and the way there. */
struct place {
    repliq::store own;
    repliq::server server;
    std::string folder;

    explicit place(const std::string &folder) : own(folder + "/store"), server(own, serving(folder)), folder(folder) {}

    static repliq::server_options serving(const std::string &folder)
    {
        repliq::server_options options;
        options.plain = true;
        options.listen = {"127.0.0.1:0", "unix:" + folder + "/socket"};
        options.users = {{"ann", "secret", "publish,browse,consume,admin", "*"}};
        return options;
    }

    static repliq::store_options reach()
    {
        repliq::store_options options;
        options.plain = true;
        options.user = "ann";
        options.password = "secret";
        options.reconnect_max = 100ms;
        return options;
    }

    repliq::store tcp() const
    {
        std::string text = server.status();
        std::size_t at = text.find("127.0.0.1:");
        return repliq::store("repliq://" + text.substr(at, text.find('"', at) - at), reach());
    }

    repliq::store unix_socket() const { return repliq::store("repliq+unix://" + folder + "/socket", reach()); }
};

/** Tries a case over TCP and through a socket, each with a place of its own. */
template <class Case> void everywhere(const std::string &folder, Case tried)
{
    std::filesystem::create_directory(folder);
    for (const char *way : {"tcp", "unix"}) {
        std::string own = folder + "/" + way;
        std::filesystem::create_directory(own);
        place at(own);
        repliq::store store = way[0] == 't' ? at.tcp() : at.unix_socket();
        tried(at, store);
    }
}

texts payloads(const repliq::store &store, const repliq::queue &queue)
{
    texts found;
    for (const repliq::received &one : store.snapshot().browse(queue, 1, 100))
        found.emplace_back(one.payload());
    return found;
}

TEST(options_of_a_url_are_looked_at_and_a_name_is_not_cut)
{
    std::filesystem::create_directory(folder);
    place at(folder);
    repliq::store_options options = place::reach();
    options.user = std::string("an\0n", 4);
    CHECK(thrown([&] { repliq::store("repliq+unix://" + folder + "/socket", options); }).code()
          == repliq::code::invalid);
    options = place::reach();
    options.heartbeat = 1ms;
    CHECK(thrown([&] { repliq::store("repliq+unix://" + folder + "/socket", options); }).code()
          == repliq::code::invalid);
    options = place::reach();
    options.user.clear();
    CHECK(thrown([&] { repliq::store("repliq+unix://" + folder + "/socket", options); }).code()
          == repliq::code::invalid);
    repliq::store named("repliq+unix://ann@" + folder + "/socket", options);
    repliq::session_options session;
    session.name = std::string("a\0b", 3);
    CHECK(thrown([&] { named.session(session); }).code() == repliq::code::invalid);
}

TEST(identities_are_values_and_outcomes_have_their_token)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::session session = store.session();
        repliq::transaction_id first = session.id();
        session.put(queue, "1");
        repliq::token token = session.commit().token;
        repliq::outcome outcome = store.resolve(first);
        CHECK(outcome.state == repliq::outcome_state::committed && outcome.token == token);
        repliq::transaction_id second = session.id();
        std::unordered_set<repliq::transaction_id> seen{first, second, first};
        CHECK(seen.size() == 2 && first != second);
        CHECK(repliq::transaction_id::parse(first.text()) == first);
        CHECK(repliq::transaction_id::parse(first.raw()) == first);
        CHECK(thrown([] { repliq::transaction_id::parse("none"); }).code() == repliq::code::invalid);
        outcome = store.resolve(second);
        CHECK(outcome.state == repliq::outcome_state::rolled_back && !outcome.token);
        session.put(queue, "never");
        repliq::error error = thrown([&] { session.commit(); });
        CHECK(error.code() == repliq::code::rolled_back && error.retriable());
        session.close();
        CHECK((payloads(store, queue) == texts{"1"}));
    });
}

TEST(txs_20_a_second_thread_in_a_session_is_told_busy)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::consumer consumer = store.consumer("c", queue);
        repliq::session session = store.session();
        std::atomic<std::size_t> found{0};
        std::thread waits([&] { found = session.receive(consumer, 1, 60s).size(); });
        std::this_thread::sleep_for(50ms);
        CHECK(thrown([&] { session.put(queue, "x"); }).code() == repliq::code::busy);
        CHECK(thrown([&] { session.commit(); }).code() == repliq::code::busy);
        CHECK(repliq_session_close(session.c()) == REPLIQ_BUSY);
        queue.put("wakes the other");
        waits.join();
        CHECK(found == 1);
        session.put(queue, "x");
        session.commit();
        CHECK((payloads(store, queue) == texts{"x"}));
    });
}

TEST(a_thousand_futures_end_with_their_tokens_at_a_server)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        std::vector<std::future<repliq::result>> futures;
        for (int i = 0; i < 1000; ++i)
            futures.push_back(queue.put_async(std::to_string(i)));
        std::unordered_set<repliq::token> tokens;
        for (auto &one : futures)
            tokens.insert(one.get().token);
        CHECK(tokens.size() == 1000);
        repliq::session session = store.session();
        session.put(queue, "last");
        repliq::token last = session.commit_async().get().token;
        store.wait_async({last}).get();
        CHECK(store.snapshot().browse(queue, 1001, 10).at(0).payload() == "last");
    });
}

TEST(a_future_of_a_commit_that_was_rolled_back_tells_the_cause)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::session_options options;
        options.idle = 20ms;
        repliq::session session = store.session(options);
        queue.put("taken");
        repliq::consumer consumer = store.consumer("c", queue);
        CHECK(session.receive(consumer, 1, 10s).size() == 1);
        std::this_thread::sleep_for(200ms);
        repliq::error error = thrown([&] { session.commit_async().get(); });
        CHECK(error.code() == repliq::code::rolled_back && error.cause() == repliq::code::timeout);
    });
}

TEST(a_listener_at_a_server_commits_with_what_its_handler_put)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue in = store.queue("in"), out = store.queue("out");
        std::atomic<int> calls{0};
        repliq::listener_options options;
        options.retry = 1ms;
        repliq::listener listener = store.consumer("c", in).listen(
            [&](repliq::session &session, const std::vector<repliq::received> &all) {
                session.put(out, std::string(all.at(0).payload()) + " done");
                if (++calls == 1)
                    throw std::runtime_error("once");
            },
            options);
        in.put_many(texts{"1", "2"});
        CHECK(soon([&] { return payloads(store, out).size() == 2; }));
        listener.close();
        CHECK((payloads(store, out) == texts{"1 done", "2 done"}));
        CHECK(calls == 3);
    });
}

TEST(a_listener_of_several_threads_works_side_by_side)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue in = store.queue("in"), out = store.queue("out");
        std::atomic<int> inside{0}, most{0};
        repliq::listener_options options;
        options.threads = 3;
        repliq::listener listener = store.consumer("c", in).listen(
            [&](repliq::session &session, const std::vector<repliq::received> &all) {
                int now = ++inside;
                for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
                }
                std::this_thread::sleep_for(5ms);
                session.put(out, std::string(all.at(0).payload()));
                --inside;
            },
            options);
        in.put_many(texts(20, "x"));
        CHECK(soon([&] { return payloads(store, out).size() == 20; }));
        listener.close();
        CHECK(most > 1);
    });
}

TEST(closing_a_consumer_at_a_server_sends_a_waiting_receive_out)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::consumer consumer = store.consumer("c", queue);
        std::promise<repliq::error> answer;
        std::thread waits([&] { answer.set_value(thrown([&] { consumer.receive(1, 60s); })); });
        std::this_thread::sleep_for(50ms);
        CHECK(repliq_consumer_close(consumer.c()) == REPLIQ_OK);
        waits.join();
        CHECK(answer.get_future().get().code() == repliq::code::closed);
        CHECK(thrown([&] { consumer.receive(1, 0s); }).code() == repliq::code::bad_handle);
        store.consumer("c", queue).receive(1, 0s);
    });
}

TEST(closing_a_store_at_a_server_sends_everybody_out_and_later_use_is_told)
{
    everywhere(folder, [](place &at, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::consumer consumer = store.consumer("c", queue);
        repliq::session session = store.session();
        std::promise<repliq::error> answer;
        std::thread waits([&] { answer.set_value(thrown([&] { session.receive(consumer, 1, 60s); })); });
        std::this_thread::sleep_for(50ms);
        store.close();
        waits.join();
        CHECK(answer.get_future().get().code() == repliq::code::closed);
        CHECK(thrown([&] { queue.put("x"); }).code() == repliq::code::bad_handle);
        CHECK(thrown([&] { session.put(queue, "x"); }).code() == repliq::code::closed);
        CHECK(thrown([&] { session.id(); }).code() == repliq::code::closed);
        CHECK(thrown([&] { consumer.receive(1, 0s); }).code() == repliq::code::closed);
        repliq::store again = at.unix_socket();
        CHECK(payloads(again, again.queue("q")).empty());
    });
}

TEST(what_only_the_owner_of_a_directory_can_do_is_unsupported_at_a_server)
{
    everywhere(folder, [](place &at, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        auto refused = [](auto call) { return thrown(call).code() == repliq::code::unsupported; };
        CHECK(refused([&] { store.backup(at.folder + "/backup"); }));
        CHECK(refused([&] { store.change_password("another"); }));
        CHECK(refused([&] { repliq::server(store, place::serving(at.folder)); }));
        CHECK(refused([&] { repliq::replication(store, queue); }));
    });
}

TEST(a_server_that_ends_takes_the_open_transaction_along_and_the_session_goes_on_at_the_next)
{
    std::filesystem::create_directory(folder);
    auto at = std::make_unique<place>(folder);
    repliq::store store = at->unix_socket();
    repliq::queue queue = store.queue("q");
    queue.put("1");
    repliq::consumer consumer = store.consumer("c", queue);
    repliq::session session = store.session();
    repliq::transaction_id id = session.id();
    CHECK(session.receive(consumer, 1, 10s).size() == 1);
    session.put(queue, "never");
    at->server.close();
    at->own.close();
    at = std::make_unique<place>(folder);
    CHECK(thrown([&] { session.commit(); }).code() == repliq::code::rolled_back);
    CHECK(store.resolve(id).state == repliq::outcome_state::rolled_back);
    std::vector<repliq::received> again = session.receive(consumer, 1, 10s);
    CHECK(again.size() == 1 && again[0].payload() == "1" && again[0].deliveries() >= 1);
    session.put(queue, "2");
    session.commit();
    CHECK((payloads(store, queue) == texts{"2"}));
}

TEST(a_child_made_by_fork_is_told_and_the_parent_goes_on)
{
    everywhere(folder, [](place &, repliq::store &store) {
        repliq::queue queue = store.queue("q");
        repliq::session session = store.session();
        repliq::consumer consumer = store.consumer("c", queue);
        pid_t child = fork();
        if (child == 0) {
            repliq_message message = REPLIQ_MESSAGE;
            repliq_message found;
            repliq_transaction_id id;
            std::size_t n;
            bool told = repliq_store_put(store.c(), queue.number(), &message, 1, nullptr, nullptr) == REPLIQ_FORKED
                        && repliq_session_id(session.c(), &id) == REPLIQ_FORKED
                        && repliq_session_commit(session.c(), nullptr) == REPLIQ_FORKED
                        && repliq_consumer_receive(consumer.c(), &found, 1, 0, &n) == REPLIQ_FORKED;
            _exit(told ? 0 : 1);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        session.put(queue, "1");
        session.commit();
        CHECK(consumer.receive(1, 10s).size() == 1);
    });
}

TEST(without_reconnect_a_lost_server_stays_lost)
{
    std::filesystem::create_directory(folder);
    auto at = std::make_unique<place>(folder);
    repliq::store_options options = place::reach();
    options.reconnect = false;
    repliq::store store("repliq+unix://" + folder + "/socket", options);
    repliq::queue queue = store.queue("q");
    at->server.close();
    at->own.close();
    at = std::make_unique<place>(folder);
    CHECK(thrown([&] { queue.put("x"); }).code() != repliq::code::ok);
    store.close();
    repliq::store again = at->unix_socket();
    again.queue("q").put("y");
    CHECK((payloads(again, again.queue("q")) == texts{"y"}));
}

} // namespace
