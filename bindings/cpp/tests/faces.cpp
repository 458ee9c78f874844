/*
 * What C++ adds to the C ABI: owners, values, exceptions, ranges, futures.
 *
 * Usage: faces CASE       CMakeLists.txt makes one test of each line that begins with TEST(
 */
#include <atomic>
#include <unordered_set>

#include "cases.hpp"

namespace {

std::vector<std::string> payloads(repliq::store &store, const repliq::queue &queue)
{
    std::vector<std::string> found;
    for (const repliq::received &one : store.snapshot().browse(queue, 1, 100))
        found.emplace_back(one.payload());
    return found;
}

using texts = std::vector<std::string>;

TEST(an_error_is_a_system_error_with_the_sentence_of_the_library)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    queue.pause();
    repliq::error error = thrown([&] { queue.put("x"); });
    CHECK(error.code() == repliq::code::paused);
    CHECK(error.code().category() == repliq::category());
    CHECK(error.code().message() == "PAUSED");
    CHECK(error.value() == repliq::code::paused);
    CHECK(error.retriable() && !error.fatal() && !error.requires_rollback());
    CHECK(std::string(error.what()).find("paused") != std::string::npos);
    CHECK(error.message_index() == 0);
    std::error_code from_enum = repliq::code::locked;
    CHECK(from_enum.value() == REPLIQ_LOCKED && from_enum.message() == "LOCKED");
}

TEST(every_code_of_the_header_has_its_enumerator)
{
    for (int number = 0; std::string(repliq_code_name(number)) != "UNKNOWN"; ++number) {
        std::string name = repliq::make_error_code(static_cast<repliq::code>(number)).message();
        CHECK(name == repliq_code_name(number));
        CHECK(number <= static_cast<int>(repliq::code::out_of_order));
    }
    CHECK(std::string(repliq_code_name(static_cast<int>(repliq::code::out_of_order))) == "OUT_OF_ORDER");
    CHECK(std::string(repliq_code_name(static_cast<int>(repliq::code::out_of_order) + 1)) == "UNKNOWN");
}

TEST(a_name_with_a_nul_inside_is_refused_and_not_cut)
{
    repliq::store store(folder);
    std::string name("a\0b", 3);
    CHECK(thrown([&] { store.queue(name); }).code() == repliq::code::invalid);
    CHECK(store.status().find("\"a\"") == std::string::npos);
}

TEST(a_text_that_c_would_cut_is_refused_in_options_too)
{
    std::filesystem::create_directory(folder);
    repliq::store store(folder + "/here");
    auto refused = [&](auto change) {
        repliq::server_options serving;
        serving.listen = {"unix:" + folder + "/socket"};
        serving.users = {{"till", "secret"}};
        change(serving);
        repliq::error error = thrown([&] { repliq::server server(store, serving); });
        return error.code() == repliq::code::invalid && std::string(error.what()).find("\\0") != std::string::npos;
    };
    std::string cut("*\0x", 3);
    CHECK(refused([&](repliq::server_options &of) { of.listen[0] += cut; }));
    CHECK(refused([&](repliq::server_options &of) { of.users[0].name += cut; }));
    CHECK(refused([&](repliq::server_options &of) { of.users[0].verbs = cut; }));
    CHECK(refused([&](repliq::server_options &of) { of.users[0].queues = cut; }));
    CHECK(refused([&](repliq::server_options &of) { of.users_file = cut; }));
    CHECK(refused([&](repliq::server_options &of) { of.certificate_file = cut; }));
    repliq::replication replication(store, store.queue("q"));
    repliq::target_options to;
    to.user = "till";
    to.password = "secret";
    to.header_name = "region";
    to.header_value = cut;
    CHECK(thrown([&] { replication.add("office", "repliq+unix://" + folder + "/socket", to); }).code()
          == repliq::code::invalid);
    CHECK(replication.status().find("office") == std::string::npos);
}

TEST(a_text_that_is_not_utf_8_is_refused_and_bytes_may_be_any)
{
    std::filesystem::create_directory(folder);
    CHECK(thrown([&] { repliq::store(folder + "/\xff"); }).code() == repliq::code::invalid);
    repliq::store store(folder + "/here");
    CHECK(thrown([&] { store.queue("\xc3\x28"); }).code() == repliq::code::invalid);
    repliq::queue queue = store.queue("q");
    CHECK(thrown([&] { store.consumer("\xff", queue); }).code() == repliq::code::invalid);
    repliq::message one("\xff");
    one.key = "\xfe";
    one.headers = {{"name", "\xfd"}};
    queue.put(one);
    one.producer = "\xff";
    one.producer_sequence = 1;
    CHECK(thrown([&] { queue.put(one); }).message_index() == 0);
    one.producer = "till";
    one.headers = {{"\xff", "value"}};
    CHECK(thrown([&] { queue.put(one); }).code() == repliq::code::invalid);
    CHECK((payloads(store, queue) == texts{"\xff"}));
}

TEST(what_was_moved_from_is_empty_and_says_so)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    repliq::session session = store.session();
    repliq::token token = queue.put("1").token;
    repliq::store other = std::move(store);
    repliq::session mine = std::move(session);
    repliq::queue same = std::move(queue);
    auto refused = [](auto call) { return thrown(call).code() == repliq::code::invalid; };
    CHECK(refused([&] { store.queue("q"); }));
    CHECK(refused([&] { store.wait(token, 0s); }));
    CHECK(refused([&] { store.wait_async({token}); }));
    CHECK(refused([&] { queue.put("x"); }));
    CHECK(refused([&] { queue.put_async("x"); }));
    CHECK(refused([&] { session.put(same, "x"); }));
    CHECK(refused([&] { session.commit_async(); }));
    store.close();
    session.close();
    mine.put(same, "2");
    mine.commit_async().get();
    CHECK((payloads(other, same) == texts{"1", "2"}));
}

TEST(tokens_are_values)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    repliq::token one = queue.put("1").token, two = queue.put("2").token;
    std::unordered_set<repliq::token> seen{one, two, one};
    CHECK(seen.size() == 2 && one != two);
    CHECK(repliq::token::parse(one.text()) == one && one.text().size() == 54);
    CHECK(repliq::token::join({one, two, one}) == std::vector<repliq::token>{two});
    CHECK(repliq::token::join({}).empty());
    CHECK(thrown([] { repliq::token::parse("no token"); }).code() == repliq::code::invalid);
    store.wait({one, two}, 1s);
}

TEST(a_session_that_leaves_its_scope_rolls_back)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    {
        repliq::session session = store.session();
        session.put(queue, "never");
    }
    repliq::session session = store.session(repliq::level::process);
    session.put_many(queue, texts{"1", "2"});
    repliq::result result = session.commit();
    CHECK(result.level == repliq::level::process);
    store.wait(result.token, 10s);
    CHECK((payloads(store, queue) == texts{"1", "2"}));
}

TEST(a_range_for_reads_to_the_end_and_acknowledges)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    queue.put_many(texts{"1", "2", "3"});
    repliq::consumer consumer = store.consumer("c", queue);
    texts found;
    for (const repliq::received &one : consumer)
        found.emplace_back(one.payload());
    CHECK((found == texts{"1", "2", "3"}));
    consumer.close();
    repliq::consumer again = store.consumer("c", queue);
    CHECK(again.receive(10, 0s).empty());
}

TEST(a_range_for_that_is_left_leaves_its_message)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    queue.put_many(texts{"1", "2", "3"});
    {
        repliq::consumer consumer = store.consumer("c", queue);
        try {
            for (const repliq::received &one : consumer.each(10ms))
                if (one.payload() == "2")
                    throw std::runtime_error("no");
        } catch (const std::runtime_error &) {
        }
    }
    repliq::consumer consumer = store.consumer("c", queue);
    std::vector<repliq::received> rest = consumer.receive(10, 0s);
    while (rest.size() < 2)
        for (const repliq::received &one : consumer.receive(10, 1s))
            rest.push_back(one);
    CHECK(rest[0].payload() == "2" && rest[1].payload() == "3");
}

TEST(received_messages_outlive_what_they_were_read_from)
{
    std::vector<repliq::received> kept;
    {
        repliq::store store(folder);
        repliq::queue queue = store.queue("q");
        repliq::message one("payload");
        one.key = "key";
        one.kind = 8194;
        one.headers = {{"color", "green"}, {"empty", ""}};
        one.producer = "till";
        one.producer_sequence = 1;
        queue.put(one);
        kept = store.consumer("c", queue).receive(10, 0s);
        store.close();
    }
    CHECK(kept.size() == 1 && kept[0].payload() == "payload" && kept[0].key() == "key");
    CHECK(kept[0].header_value("color") == "green" && kept[0].header_value("empty") == "");
    CHECK(!kept[0].header_value("weight") && kept[0].headers().size() == 2);
    CHECK(kept[0].kind() == 8194 && kept[0].producer() == "till" && kept[0].producer_sequence() == 1);
    CHECK(kept[0].sequence() == 1 && kept[0].deliveries() == 1 && kept[0].committed_ms() > 0);
}

TEST(a_thousand_futures_end_with_their_tokens)
{
    repliq::store store(folder);
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
}

TEST(a_future_that_fails_throws_and_one_under_way_at_the_close_ends)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    CHECK(thrown([&] { queue.put_async(std::string(17 << 20, 'x')); }).code() == repliq::code::too_large);
    repliq::token mine = queue.put("x").token;
    store.consumer("c", queue);
    auto waiting = store.wait_async({mine}, "consumer:c");
    CHECK(waiting.wait_for(20ms) == std::future_status::timeout);
    auto committed = queue.put_async("y");
    store.close();
    CHECK(committed.get().token != mine);
    repliq::error error = thrown([&] { waiting.get(); });
    CHECK(error.code() == repliq::code::cancelled || error.code() == repliq::code::closed);
    CHECK(thrown([&] { queue.put_async("z"); }).code() != repliq::code::ok);
}

TEST(a_listener_commits_with_what_its_handler_put)
{
    repliq::store store(folder);
    repliq::queue in = store.queue("in"), out = store.queue("out");
    std::atomic<int> calls{0};
    repliq::listener listener = store.consumer("c", in).listen(
        [&](repliq::session &session, const std::vector<repliq::received> &all) {
            session.put(out, std::string(all.at(0).payload()) + " done");
            if (++calls == 1)
                throw std::runtime_error("once");
            if (thrown([&] { session.commit(); }).code() != repliq::code::busy
                || thrown([&] { session.commit_async(); }).code() != repliq::code::busy)
                std::exit(1);
        },
        [] {
            repliq::listener_options options;
            options.retry = 1ms;
            return options;
        }());
    in.put_many(texts{"1", "2"});
    CHECK(soon([&] { return payloads(store, out).size() == 2; }));
    listener.close();
    CHECK((payloads(store, out) == texts{"1 done", "2 done"}));
    CHECK(calls == 3);
}

TEST(a_listener_of_jobs_gets_a_transaction_at_once_and_moves_dead_letters)
{
    repliq::store store(folder);
    repliq::queue in = store.queue("in"), dead = store.queue("dead");
    in.put_many(texts{"1", "2", "3"});
    std::atomic<int> calls{0};
    repliq::listener_options options;
    options.job = true;
    options.policy = REPLIQ_POLICY_DEAD_LETTER;
    options.dead_letter_after = 2;
    options.dead_letter_queue = "dead";
    options.retry = 1ms;
    repliq::listener listener = store.consumer("c", in).listen(
        [&](repliq::session &, const std::vector<repliq::received> &all) {
            CHECK(all.size() == 3);
            ++calls;
            return repliq::handled::retry;
        },
        options);
    CHECK(soon([&] { return payloads(store, dead).size() == 3; }));
    CHECK(calls == 2);
}

TEST(closing_sends_a_waiting_receive_out)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    repliq::consumer consumer = store.consumer("c", queue);
    std::promise<repliq::error> answer;
    std::thread waits([&] { answer.set_value(thrown([&] { consumer.receive(1, 60s); })); });
    std::this_thread::sleep_for(50ms);
    CHECK(repliq_consumer_close(consumer.c()) == REPLIQ_OK);
    waits.join();
    CHECK(answer.get_future().get().code() == repliq::code::closed);
    CHECK(thrown([&] { consumer.receive(1, 0s); }).code() == repliq::code::bad_handle);
}

TEST(closing_a_store_sends_everybody_out_and_later_use_is_told)
{
    repliq::store store(folder);
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
    repliq::store again(folder);
}

TEST(a_second_thread_in_a_session_is_told_busy)
{
    repliq::store store(folder);
    repliq::queue queue = store.queue("q");
    repliq::consumer consumer = store.consumer("c", queue);
    repliq::session session = store.session();
    std::thread waits([&] { session.receive(consumer, 1, 60s); });
    std::this_thread::sleep_for(50ms);
    CHECK(thrown([&] { session.put(queue, "x"); }).code() == repliq::code::busy);
    CHECK(repliq_session_close(session.c()) == REPLIQ_BUSY);
    // Refused, it is still ours.
    CHECK(thrown([&] { session.close(); }).code() == repliq::code::busy);
    queue.put("wakes the other");
    waits.join();
    session.put(queue, "x");
    session.commit();
}

TEST(a_root_reaches_its_target_in_jobs_and_an_aborted_job_leaves_nothing)
{
    std::filesystem::create_directory(folder);
    repliq::store there(folder + "/there"), here(folder + "/here");
    repliq::server_options serving;
    serving.listen = {"unix:" + folder + "/socket"};
    serving.users = {{"replication", "p4localhost", "replicate", "sp_*"}};
    repliq::server server(there, serving);

    repliq::queue root = here.queue("sp_root");
    repliq::replication replication(here, root);
    repliq::target_options to;
    to.password = "p4localhost";
    to.user = "replication";
    replication.add("Tolocal", "repliq+unix://" + folder + "/socket", to);
    CHECK(thrown([&] { replication.add("Tolocal", "repliq+unix://" + folder + "/socket", to); }).code()
          == repliq::code::exists);
    {
        repliq::job job = replication.job();
        replication.send(0x2002, "hello");
        replication.send(0x2004, "echo");
        job.end();
    }
    {
        repliq::job given_up = replication.job();
        replication.send(0x2002, "never");
    }
    repliq::token token = replication.send_many(texts{"one", "two"}).token;
    here.wait(token, 10s, "target:*");
    CHECK((payloads(there, there.queue("sp_root")) == texts{"hello", "echo", "one", "two"}));
    std::vector<repliq::received> found = there.snapshot().browse(there.queue("sp_root"), 1, 2);
    CHECK(found.at(0).kind() == 0x2002 && found.at(1).kind() == 0x2004);
    CHECK(replication.status().find("Tolocal") != std::string::npos);
    repliq::target_status at = replication.target("Tolocal");
    CHECK(at.connected && !at.stopped && at.last_error.empty());
    CHECK(at.position_epoch == 1 && at.position_sequence > 1);
    CHECK(at.lag_messages == 0 && at.lag_bytes == 0 && at.lag == 0ms);
    CHECK(server.status().find("replication") != std::string::npos);
    replication.stop(10s);
}

TEST(a_job_of_the_book_arrives)
{
    std::filesystem::create_directory(folder);
    repliq::store there(folder + "/there"), store(folder + "/here");
    repliq::server_options serving;
    serving.listen = {"unix:" + folder + "/socket"};
    serving.users = {{"till", "secret", "replicate", "orders"}};
    repliq::server server(there, serving);
    std::string url = "repliq+unix://till@" + folder + "/socket";

    // ANCHOR: job
    repliq::replication replication(store, store.queue("orders"));
    repliq::target_options options;
    options.password = "secret";
    replication.add("office", url, options);

    // A job: both messages or neither; leaving the scope without end() gives it up.
    repliq::job job = replication.job();
    replication.send(1, "one pound of tea");
    replication.send(1, "two pounds of sugar");
    repliq::result sent = job.end();

    // Everything is on this disk now; this waits until it is on the office's.
    store.wait(sent.token, 20s, "target:*");
    // ANCHOR_END: job
    CHECK((payloads(there, there.queue("orders")) == texts{"one pound of tea", "two pounds of sugar"}));
}

TEST(a_password_opens_a_store_and_another_takes_its_place)
{
    repliq::store_options chosen;
    chosen.password = "first";
    {
        repliq::store store(folder, chosen);
        store.queue("q").put("secret");
        store.change_password("second");
        CHECK(thrown([&] { store.change_password(""); }).code() == repliq::code::invalid);
    }
    CHECK(thrown([&] { repliq::store store(folder, chosen); }).code() == repliq::code::bad_password);
    CHECK(thrown([&] { repliq::store store(folder); }).code() == repliq::code::bad_password);
    chosen.password = "second";
    repliq::store store(folder, chosen);
    CHECK(store.snapshot().browse(store.queue("q"), 1, 9).size() == 1);
}

TEST(log_lines_arrive_and_end)
{
    std::atomic<int> lines{0};
    repliq::log_set([&](int level, std::string_view, std::string_view) { lines += level > 0; }, REPLIQ_LOG_TRACE);
    repliq::store store(folder);
    store.queue("q").put("x");
    repliq::log_set({}, 0);
    int before = lines;
    store.queue("q").put("x");
    CHECK(lines == before);
    CHECK(repliq::version() == REPLIQ_HEADER_VERSION && repliq::abi_version() == REPLIQ_ABI_VERSION);
}

} // namespace
