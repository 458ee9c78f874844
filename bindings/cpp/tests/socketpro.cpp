/*
 * The CReplication face: what docs/SOCKETPRO.md promises, in its order.
 *
 * Usage: socketpro CASE
 */
#include <arpa/inet.h>
#include <fstream>
#include <netinet/in.h>
#include <sstream>
#include <sys/socket.h>
#include <unistd.h>

#include <repliq/socketpro.hpp>

#include "cases.hpp"

using namespace repliq::socketpro;
using repliq::code;

namespace {

const std::string root_name = "hw_root_queue_name";

/** A port nobody listens on. */
std::uint16_t free_port()
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int made = socket(AF_INET, SOCK_STREAM, 0);
    auto *any = reinterpret_cast<sockaddr *>(&address);
    CHECK(made >= 0 && bind(made, any, size) == 0 && getsockname(made, any, &size) == 0);
    close(made);
    return ntohs(address.sin_port);
}

/** What a queue of a store holds. */
struct row {
    std::uint16_t kind;
    std::string payload;
    std::uint64_t expires_ms;
};

std::vector<row> rows(const repliq::store &store, const std::string &queue)
{
    repliq::queue of = store.queue(queue);
    std::vector<row> found;
    for (const repliq::received &one : store.snapshot().browse(of, 1, 10000))
        found.push_back({one.kind(), std::string(one.payload()), one.expires_ms()});
    return found;
}

/** A server of this process that goes and comes. */
class remote {
public:
    explicit remote(std::string folder, std::uint16_t port = free_port()) : folder_(std::move(folder)), port_(port)
    {
        std::filesystem::create_directories(std::filesystem::path(folder_).parent_path());
        up();
    }
    void up()
    {
        store_.emplace(folder_);
        repliq::server_options options;
        options.listen = {"127.0.0.1:" + std::to_string(port_)};
        options.plain = true;
        options.users = {{"ann", "secret", "replicate", "*"}};
        server_.emplace(*store_, options);
    }
    void down()
    {
        server_->close();
        server_.reset();
        store_->close();
        store_.reset();
    }
    CConnectionContext at(const std::string &password = "secret") const
    {
        return {"127.0.0.1", port_, "ann", password};
    }
    std::vector<row> has(const std::string &queue = root_name) const { return rows(*store_, queue); }
    repliq::store &store() { return *store_; }

private:
    std::string folder_;
    std::uint16_t port_;
    std::optional<repliq::store> store_;
    std::optional<repliq::server> server_;
};

ReplicationSetting setting(const std::string &folder)
{
    ReplicationSetting made;
    made.QueueDir = folder + "/queues";
    return made;
}

/** Somewhere nobody listens. */
CConnectionContext nowhere()
{
    return {"127.0.0.1", free_port(), "ann", "secret"};
}

bool everybody_has_it(const CReplication &of)
{
    return soon([&] { return of.GetSourceQueue().GetMessageCount() == 0; });
}

bool failed(const CReplication &of, bool answer, code why)
{
    if (answer || of.LastError().value() != why)
        std::cerr << "answered " << answer << ", " << of.LastError().what() << "\n";
    return !answer && of.LastError().value() == why && of.LastError().what() != std::string();
}

std::string packed(const std::string &first, const std::string &last)
{
    return std::string((CScopeUQueue{} << first << last).GetBuffer());
}

} // namespace

namespace {

TEST(the_first_program_of_the_documentation_runs)
{
    QueueConfigure::SetMessageQueuePassword("MyQPassword");
    QueueConfigure::SetWorkDirectory(folder + "/deep/sp_test/");
    CReplication rep{ReplicationSetting{}};
    CHECK(rep.Start({{"Tolocal", CConnectionContext{"127.0.0.1", free_port(), "replication", "p4localhost"}}}, root_name));
    CHECK(rep.StartJob());
    CHECK(rep.Send(0x2002, CScopeUQueue{} << "David" << "Young"));
    CHECK(rep.EndJob());
    CHECK(rep.GetSourceQueue().GetMessageCount() == 1);
}

TEST(the_settings_of_the_process_are_the_defaults_of_new_ones)
{
    CHECK(QueueConfigure::GetWorkDirectory() == "./");
    ReplicationSetting before;
    QueueConfigure::SetWorkDirectory(folder);
    CHECK(QueueConfigure::GetWorkDirectory() == folder + "/");
    ReplicationSetting made;
    CHECK(before.QueueDir == "./" && made.QueueDir == folder + "/");
    CHECK(!made.NoAutoConn && made.TTL == 2592000 && made.RecvTimeout == 30000 && made.ConnTimeout == 30000);
    made = {"here", true, 0, 0, 0};
    CReplication rep(made);
    const ReplicationSetting &kept = rep.GetReplicationSetting();
    CHECK(kept.QueueDir == "here/" && kept.NoAutoConn);
    CHECK(kept.TTL == DEFAULT_TTL && kept.RecvTimeout == 30000 && kept.ConnTimeout == 30000);
}

TEST(a_connection_has_the_defaults_and_the_order_of_the_page)
{
    CConnectionContext plain;
    CHECK(plain.Host == "localhost" && plain.Port == 20901 && plain.EncrytionMethod == NoEncryption);
    CHECK(!plain.Zip && !plain.V6 && !plain.AnyData.has_value() && plain.Queue.empty());
    CConnectionContext all("h", 1, "u", "p", TLSv1, true, false, 7);
    CHECK(all.EncrytionMethod == TLSv1 && all.V6 && !all.Zip && std::any_cast<int>(all.AnyData) == 7);
    CHECK(CReplication::DIR_SEP == '/');
}

TEST(before_start_everything_is_empty_and_every_call_is_closed)
{
    CReplication rep(setting(folder));
    CHECK(failed(rep, rep.Send(0x2002), code::closed));
    CHECK(failed(rep, rep.Send(0x2002, "a", "b"), code::closed));
    CHECK(failed(rep, rep.StartJob(), code::closed));
    CHECK(failed(rep, rep.EndJob(), code::closed));
    CHECK(failed(rep, rep.AbortJob(), code::closed));
    CHECK(failed(rep, rep.DoReplication(), code::closed));
    CHECK(!rep.IsReplicable() && rep.GetConnections() == 0 && rep.GetHosts() == 0 && rep.GetQueues() == 0);
    CHECK(rep.GetTargetQueues().empty() && !rep.GetSourceQueue().IsAvailable());
    CHECK(!std::filesystem::exists(folder));
}

TEST(two_targets_get_everything_in_order_job_by_job)
{
    remote first(folder + "/1"), second(folder + "/2");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"Tolocal", first.at()}, {"ToLinux", second.at()}}, root_name));
    CHECK(rep.IsReplicable() && rep.GetHosts() == 2 && rep.GetQueues() == 3);
    CHECK(soon([&] { return rep.GetConnections() == 2; }));
    CHECK(rep.StartJob());
    CHECK(rep.Send(0x2002, "David", "Young"));
    const std::uint8_t bytes[] = {0, 255, 7};
    CHECK(rep.Send(0x2004, bytes, 3));
    CHECK(rep.EndJob() && rep.LastError().value() == code::ok && rep.LastError().what() == std::string());
    CHECK(rep.Send(0x2003, std::int32_t(5)) && rep.Send(0x2005) && rep.DoReplication());
    CHECK(everybody_has_it(rep));
    for (remote *one : {&first, &second}) {
        std::vector<row> found = one->has();
        CHECK(found.size() == 4);
        CHECK(found[0].kind == 0x2002 && found[0].payload == packed("David", "Young"));
        CHECK(found[1].kind == 0x2004 && found[1].payload == std::string("\0\xff\7", 3));
        CHECK(found[2].kind == 0x2003 && found[2].payload == std::string("\5\0\0\0", 4));
        CHECK(found[3].kind == 0x2005 && found[3].payload.empty());
        std::vector<repliq::received> jobs = one->store().snapshot().browse(one->store().queue(root_name), 1, 9);
        CHECK(jobs[0].committed_ms() <= jobs[2].committed_ms());
    }
    CClientQueue source = rep.GetSourceQueue();
    CHECK(source.GetQueueName() == root_name && source.IsAvailable() && source.IsConnected() && !source.IsSecure());
    CHECK(source.GetQueueFileName() == folder + "/queues/" + root_name + ".repliq/");
    CHECK(std::filesystem::is_directory(source.GetQueueFileName()));
    CHECK(source.GetTTL() == DEFAULT_TTL && source.GetLastError().empty());
    std::vector<CClientQueue> targets = rep.GetTargetQueues();
    CHECK(targets.size() == 2 && targets[0].GetQueueName() == "ToLinux" && targets[1].GetQueueName() == "Tolocal");
    CHECK(targets[0].IsConnected() && targets[0].GetMessageCount() == 0);
    CHECK(targets[0].GetQueueFileName() == source.GetQueueFileName());
}

TEST(one_target_has_no_root_and_its_queue_has_its_name)
{
    remote first(folder + "/1");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"Tolocal", first.at()}}, root_name));
    CHECK(!rep.IsReplicable() && rep.GetHosts() == 1 && rep.GetQueues() == 1);
    CHECK(rep.Send(0x2002, "Jack", "Smith"));
    CHECK(failed(rep, rep.DoReplication(), code::invalid));
    CHECK(everybody_has_it(rep));
    CHECK(first.has("Tolocal").size() == 1 && first.has().empty());
    CHECK(rep.GetSourceQueue().GetQueueName() == "Tolocal");
    CHECK(std::filesystem::is_directory(folder + "/queues/Tolocal.repliq"));
    CHECK(!std::filesystem::exists(folder + "/queues/" + root_name + ".repliq"));
}

TEST(a_connection_may_name_another_queue)
{
    remote first(folder + "/1"), second(folder + "/2");
    CConnectionContext other = first.at();
    other.Queue = "elsewhere";
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", other}, {"b", second.at()}}));
    CHECK(rep.GetSourceQueue().GetQueueName() == "replication");
    CHECK(rep.Send(0x2002) && everybody_has_it(rep));
    CHECK(first.has("elsewhere").size() == 1 && first.has("replication").empty());
    CHECK(second.has("replication").size() == 1);
}

TEST(a_job_that_is_given_up_leaves_nothing)
{
    remote first(folder + "/1");
    {
        CReplication rep(setting(folder));
        CHECK(rep.Start({{"a", first.at()}}));
        CHECK(failed(rep, rep.EndJob(), code::invalid) && failed(rep, rep.AbortJob(), code::invalid));
        CHECK(rep.StartJob() && failed(rep, rep.StartJob(), code::exists));
        CHECK(rep.Send(0x2002, "Nobody", "Here") && rep.AbortJob());
        CHECK(failed(rep, rep.EndJob(), code::invalid));
        CHECK(rep.Send(0x2003) && everybody_has_it(rep));
        CHECK(rep.StartJob() && rep.Send(0x2002, "Nobody", "either"));
        // What is open at the end is given up.
    }
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}}) && rep.Send(0x2005) && everybody_has_it(rep));
    std::vector<row> found = first.has("a");
    CHECK(found.size() == 2 && found[0].kind == 0x2003 && found[1].kind == 0x2005);
}

TEST(a_refused_request_leaves_the_job_as_it_was)
{
    remote first(folder + "/1");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}}) && rep.StartJob() && rep.Send(0x2002));
    CHECK(failed(rep, rep.Send(0x2001), code::invalid) && failed(rep, rep.Send(0), code::invalid));
    CHECK(failed(rep, rep.Send(0x2001, "a"), code::invalid));
    CHECK(failed(rep, rep.Send(0x2002, "\xff"), code::invalid));
    CHECK(failed(rep, rep.Send(0x2002, nullptr, std::uint32_t(4)), code::invalid));
    std::vector<std::uint8_t> large((16 << 20) + 1);
    CHECK(failed(rep, rep.Send(0x2002, large.data(), large.size()), code::too_large));
    CHECK(rep.Send(0x2003) && rep.EndJob() && everybody_has_it(rep));
    CHECK(first.has("a").size() == 2);
}

TEST(leftovers_go_out_after_the_next_start)
{
    remote first(folder + "/1"), second(folder + "/2");
    CMapQNameConn where{{"a", first.at()}, {"b", second.at()}};
    first.down();
    second.down();
    QueueConfigure::SetMessageQueuePassword("kept");
    {
        CReplication rep(setting(folder));
        CHECK(rep.Start(where, root_name) && rep.Send(0x2002, "Jack", "Smith"));
        CHECK(rep.StartJob() && rep.Send(0x2003, 1) && rep.Send(0x2003, 2) && rep.EndJob());
        CHECK(rep.GetConnections() == 0 && rep.GetSourceQueue().GetMessageCount() == 3);
        CHECK(rep.GetSourceQueue().IsSecure());
    }
    first.up();
    second.up();
    CReplication rep(setting(folder));
    CHECK(rep.Start(where, root_name) && everybody_has_it(rep));
    CHECK(first.has().size() == 3 && second.has().size() == 3);
}

TEST(a_server_that_goes_and_comes_gets_everything_once)
{
    remote first(folder + "/1"), second(folder + "/2");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}, {"b", second.at()}}, root_name));
    CHECK(soon([&] { return rep.GetConnections() == 2; }));
    first.down();
    CHECK(rep.Send(0x2002) && soon([&] { return rep.GetConnections() == 1; }));
    CHECK(soon([&] { return rep.GetTargetQueues()[1].GetMessageCount() == 0; }));
    CHECK(rep.GetTargetQueues()[0].GetMessageCount() == 1 && !rep.GetTargetQueues()[0].IsConnected());
    CHECK(!rep.GetTargetQueues()[0].GetLastError().empty());
    CHECK(rep.Send(0x2003));
    first.up();
    CHECK(everybody_has_it(rep) && rep.GetConnections() == 2);
    CHECK(first.has().size() == 2 && second.has().size() == 2);
}

TEST(without_auto_conn_there_is_one_try)
{
    remote first(folder + "/1");
    CMapQNameConn where{{"a", first.at()}};
    ReplicationSetting once = setting(folder);
    once.NoAutoConn = true;
    CReplication rep(once);
    CHECK(rep.Start(where) && rep.Send(0x2002) && everybody_has_it(rep));
    first.down();
    CHECK(soon([&] { return rep.GetConnections() == 0; }));
    first.up();
    CHECK(rep.Send(0x2003));
    // A link that came back by itself would have done so many times by now.
    std::this_thread::sleep_for(600ms);
    CHECK(rep.GetConnections() == 0 && rep.GetSourceQueue().GetMessageCount() == 1);
    CHECK(rep.Start(where) && everybody_has_it(rep) && first.has("a").size() == 2);
}

TEST(a_request_expires_after_its_ttl)
{
    remote first(folder + "/1");
    CMapQNameConn where{{"a", first.at()}};
    first.down();
    ReplicationSetting brief = setting(folder);
    brief.TTL = 1;
    auto now_ms = [] {
        auto now = std::chrono::system_clock::now().time_since_epoch();
        return std::uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
    };
    {
        CReplication rep(brief);
        CHECK(rep.Start(where) && rep.Send(0x2002));
    }
    std::this_thread::sleep_for(1100ms);
    first.up();
    CReplication rep(setting(folder));
    std::uint64_t before = now_ms();
    CHECK(rep.Start(where) && rep.Send(0x2003) && everybody_has_it(rep));
    repliq::consumer clerk = first.store().consumer("clerk", first.store().queue("a"));
    std::vector<repliq::received> found = clerk.receive(10, 1s);
    CHECK(found.size() == 1 && found[0].kind() == 0x2003);
    std::uint64_t month_ms = std::uint64_t(DEFAULT_TTL) * 1000;
    CHECK(found[0].expires_ms() >= before + month_ms && found[0].expires_ms() <= now_ms() + month_ms);
}

TEST(another_password_opens_nothing)
{
    CMapQNameConn where{{"a", nowhere()}};
    QueueConfigure::SetMessageQueuePassword("first");
    {
        CReplication rep(setting(folder));
        CHECK(rep.Start(where) && rep.Send(0x2002));
    }
    CReplication rep(setting(folder));
    QueueConfigure::SetMessageQueuePassword("second");
    CHECK(failed(rep, rep.Start(where), code::bad_password));
    CHECK(failed(rep, rep.Send(0x2002), code::closed) && rep.GetHosts() == 0);
    QueueConfigure::SetMessageQueuePassword("");
    CHECK(failed(rep, rep.Start(where), code::bad_password));
    QueueConfigure::SetMessageQueuePassword("first");
    CHECK(rep.Start(where) && rep.GetSourceQueue().GetMessageCount() == 1);
}

TEST(a_server_that_refuses_makes_no_call_fail_and_says_why)
{
    remote first(folder + "/1");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at("wrong")}}) && rep.Send(0x2002));
    CHECK(soon([&] { return rep.GetTargetQueues()[0].GetLastError().find("DENIED") != std::string::npos; }));
    CHECK(rep.GetConnections() == 0 && rep.GetSourceQueue().GetMessageCount() == 1);
    CHECK(rep.Start({{"a", first.at()}}) && everybody_has_it(rep));
}

TEST(a_bad_start_says_what_is_wrong_and_opens_nothing)
{
    CReplication rep(setting(folder));
    auto with = [&](void (*change)(CConnectionContext &)) {
        CConnectionContext to = nowhere();
        change(to);
        return rep.Start({{"good", nowhere()}, {"bad", to}}, root_name);
    };
    CHECK(failed(rep, rep.Start({}), code::invalid));
    CHECK(failed(rep, rep.Start({{"", nowhere()}}), code::invalid));
    CHECK(failed(rep, rep.Start({{"a/b", nowhere()}}), code::invalid));
    CHECK(failed(rep, rep.Start({{std::string("a\0b", 3), nowhere()}}), code::invalid));
    CHECK(failed(rep, rep.Start({{std::string(248, 'x'), nowhere()}}), code::too_large));
    CHECK(failed(rep, rep.Start({{"a", nowhere()}, {"b", nowhere()}}, "../up"), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.Host = ""; }), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.Host = "no host"; }), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.Port = 0; }), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.UserId = ""; }), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.V6 = true; }), code::invalid));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.Zip = true; }), code::unsupported));
    CHECK(failed(rep, with([](CConnectionContext &to) { to.EncrytionMethod = tagEncryptionMethod(2); }), code::invalid));
    CHECK(rep.GetHosts() == 0 && failed(rep, rep.Send(0x2002), code::closed));
    CHECK(with([](CConnectionContext &to) { to.Host = "::1"; to.V6 = true; }));
    CHECK(rep.GetHosts() == 2);

    ReplicationSetting slow = setting(folder + "/s");
    slow.ConnTimeout = 3600001;
    CReplication never(slow);
    CHECK(failed(never, never.Start({{"a", nowhere()}}), code::invalid));
    std::ofstream(folder + "/file") << "x";
    ReplicationSetting blocked;
    blocked.QueueDir = folder + "/file/queues";
    CReplication nowhere_to_go(blocked);
    CHECK(!nowhere_to_go.Start({{"a", nowhere()}}) && nowhere_to_go.LastError().value() != code::ok);
}

TEST(a_root_is_open_once)
{
    CReplication one(setting(folder)), two(setting(folder));
    CHECK(one.Start({{"a", nowhere()}}));
    CHECK(failed(two, two.Start({{"a", nowhere()}}), code::locked));
    CHECK(one.Send(0x2002) && two.LastError().value() == code::ok);
    CHECK(two.Start({{"b", nowhere()}}) && two.Send(0x2002));
}

TEST(a_second_start_closes_what_was_open)
{
    remote first(folder + "/1"), second(folder + "/2");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}, {"b", second.at()}}, root_name));
    CHECK(rep.StartJob() && rep.Send(0x2002));
    CHECK(rep.Start({{"a", first.at()}, {"b", second.at()}}, root_name));
    CHECK(failed(rep, rep.EndJob(), code::invalid));
    CHECK(rep.Send(0x2003) && everybody_has_it(rep));
    CHECK(first.has().size() == 1 && second.has().size() == 1);
    CHECK(failed(rep, rep.Start({}), code::invalid) && rep.GetHosts() == 0);
}

TEST(a_new_target_begins_with_the_oldest_message_kept)
{
    remote first(folder + "/1"), second(folder + "/2"), third(folder + "/3");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}, {"b", nowhere()}}, root_name) && rep.Send(0x2002));
    CHECK(soon([&] { return rep.GetTargetQueues()[0].GetMessageCount() == 0; }));
    CHECK(rep.Start({{"a", first.at()}, {"b", second.at()}, {"c", third.at()}}, root_name));
    CHECK(everybody_has_it(rep));
    CHECK(first.has().size() == 1 && second.has().size() == 1 && third.has().size() == 1);
}

TEST(many_threads_send_into_one_job)
{
    remote first(folder + "/1"), second(folder + "/2");
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", first.at()}, {"b", second.at()}}, root_name) && rep.StartJob());
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 50; ++i)
                CHECK(rep.Send(0x2003, thread * 100 + i));
        });
    for (std::thread &one : threads)
        one.join();
    std::this_thread::sleep_for(50ms);
    CHECK(first.has().empty());
    CHECK(rep.EndJob() && everybody_has_it(rep));
    std::vector<row> found = first.has();
    CHECK(found.size() == 200 && second.has().size() == 200);
    std::map<int, int> next;
    for (const row &one : found) {
        int number = CScopeUQueue(one.payload).LoadInt();
        CHECK(next[number / 100]++ == number % 100);
    }
}

TEST(errors_of_two_threads_are_their_own)
{
    CReplication rep(setting(folder));
    CHECK(rep.Start({{"a", nowhere()}}));
    CHECK(failed(rep, rep.Send(1), code::invalid));
    std::thread([&] { CHECK(rep.LastError().value() == code::ok && rep.Send(0x2002)); }).join();
    CHECK(rep.LastError().value() == code::invalid);
    CHECK(rep.Send(0x2002) && rep.LastError().value() == code::ok);
}

TEST(closing_while_others_send_answers_true_or_closed)
{
    CReplication rep(setting(folder));
    CMapQNameConn where{{"a", nowhere()}};
    CHECK(rep.Start(where));
    std::atomic<bool> over{false};
    std::atomic<int> stored{0};
    std::thread sender([&] {
        while (!over)
            if (rep.Send(0x2002))
                ++stored;
            else
                CHECK(rep.LastError().value() == code::closed);
    });
    for (int i = 0; i < 5; ++i)
        CHECK(rep.Start(where) || rep.LastError().value() == code::locked || rep.LastError().value() == code::busy);
    over = true;
    sender.join();
    CHECK(rep.Start(where) && rep.GetSourceQueue().GetMessageCount() == std::uint64_t(stored));
}

/* ---- CScopeUQueue */

std::string from_hex(const std::string &hex)
{
    std::string made;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        made += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return made;
}

/** The words of a line; a text in quotes is one. */
std::vector<std::string> words_of(const std::string &line)
{
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
        std::size_t end = line[at] == '"' ? line.find('"', at + 1) + 1 : std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

/** Reads the values of a line; each is saved to one packer, and then loaded from another and compared. */
struct reader {
    std::vector<std::string> words;
    std::size_t at = 0;

    std::string next() { return words.at(at++); }
    bool more() const { return at < words.size(); }
    bool null() { return words.at(at) == "null" && ++at > 0; }
    std::optional<std::string> text()
    {
        if (null())
            return std::nullopt;
        std::string quoted = next(), made = quoted.substr(1, quoted.size() - 2);
        for (std::size_t nul; (nul = made.find("\\u0000")) != std::string::npos;)
            made.replace(nul, 6, std::string(1, '\0'));
        return made;
    }
    CObject object()
    {
        std::string type = next();
        if (type == "null")
            return std::monostate();
        if (type == "bool")
            return next() == "true";
        if (type == "i32")
            return std::int32_t(std::stol(next()));
        if (type == "i64")
            return std::int64_t(std::stoll(next()));
        if (type == "f64")
            return std::strtod(next().c_str(), nullptr);
        CHECK(type == "string");
        return *text();
    }
    template <class T, class One> std::optional<std::vector<T>> list(One one)
    {
        if (null())
            return std::nullopt;
        std::vector<T> made;
        for (int count = std::stoi(next()); count > 0; --count)
            made.push_back(one());
        return made;
    }
};

template <class T> void both(CScopeUQueue &saved, CScopeUQueue &loaded, const T &value)
{
    saved << value;
    T back{};
    loaded >> back;
    CHECK(back == value);
}

void value(reader &from, CScopeUQueue &saved, CScopeUQueue &loaded)
{
    std::string type = from.next();
    auto number = [&] { return std::int64_t(std::stoll(from.next())); };
    auto real = [&] { return std::strtod(from.next().c_str(), nullptr); };
    if (type == "bool")
        both(saved, loaded, from.next() == "true");
    else if (type == "i32")
        both(saved, loaded, std::int32_t(number()));
    else if (type == "i64")
        both(saved, loaded, number());
    else if (type == "f64")
        both(saved, loaded, real());
    else if (type == "time")
        both(saved, loaded, CDate(std::chrono::microseconds(number())));
    else if (type == "string")
        both(saved, loaded, from.text());
    else if (type == "object")
        both(saved, loaded, from.object());
    else if (type == "bytes") {
        std::optional<CBytes> bytes;
        if (!from.null()) {
            std::string word = from.next(), raw = word == "-" ? "" : from_hex(word);
            bytes = CBytes(raw.begin(), raw.end());
        }
        both(saved, loaded, bytes);
    } else if (type == "bools")
        both(saved, loaded, from.list<bool>([&] { return from.next() == "true"; }));
    else if (type == "ints")
        both(saved, loaded, from.list<std::int32_t>([&] { return std::int32_t(number()); }));
    else if (type == "longs")
        both(saved, loaded, from.list<std::int64_t>(number));
    else if (type == "doubles")
        both(saved, loaded, from.list<double>(real));
    else {
        CHECK(type == "strings");
        both(saved, loaded, from.list<std::optional<std::string>>([&] { return from.text(); }));
    }
}

TEST(every_vector_is_packed_and_unpacked)
{
    std::map<std::string, void (*)(CScopeUQueue &)> loads{
        {"bool", [](CScopeUQueue &from) { from.LoadBool(); }},
        {"i32", [](CScopeUQueue &from) { from.LoadInt(); }},
        {"i64", [](CScopeUQueue &from) { from.LoadLong(); }},
        {"f64", [](CScopeUQueue &from) { from.LoadDouble(); }},
        {"time", [](CScopeUQueue &from) { from.LoadDate(); }},
        {"string", [](CScopeUQueue &from) { from.LoadString(); }},
        {"bytes", [](CScopeUQueue &from) { from.LoadBytes(); }},
        {"object", [](CScopeUQueue &from) { from.LoadObject(); }},
        {"bools", [](CScopeUQueue &from) { from.LoadBools(); }},
        {"ints", [](CScopeUQueue &from) { from.LoadInts(); }},
        {"longs", [](CScopeUQueue &from) { from.LoadLongs(); }},
        {"doubles", [](CScopeUQueue &from) { from.LoadDoubles(); }},
        {"strings", [](CScopeUQueue &from) { from.LoadStrings(); }},
    };
    std::ifstream file(SCOPE_QUEUE);
    int good = 0, bad = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#')
            continue;
        std::size_t sign = line.rfind(" = ");
        std::string bytes = from_hex(line.substr(sign + 3));
        if (line[0] == '!') {
            CScopeUQueue from{bytes};
            auto load = loads.at(line.substr(2, sign - 2));
            CHECK(thrown([&] { load(from); }).code() == code::invalid && from.GetBuffer() == bytes);
            ++bad;
            continue;
        }
        reader from{words_of(line.substr(0, sign))};
        CScopeUQueue saved, loaded{bytes};
        while (from.more())
            value(from, saved, loaded);
        if (saved.GetBuffer() != bytes)
            std::cerr << line << "\n";
        CHECK(saved.GetBuffer() == bytes && loaded.GetSize() == 0);
        ++good;
    }
    CHECK(good >= 50 && bad >= 25);
}

TEST(a_packer_is_a_value_that_can_be_emptied)
{
    CScopeUQueue one;
    one.SaveBool(true).SaveInt(1).SaveLong(2).SaveDouble(0.5).SaveString("x").SaveString(nullptr);
    one.Save(CBytes{1}).SaveDate(std::chrono::system_clock::time_point(-1ns)).SaveObject({});
    CScopeUQueue two = one;
    CHECK(one.LoadBool() && one.GetSize() + 1 == two.GetSize());
    CHECK(two.LoadBool() && two.LoadInt() == 1 && two.LoadLong() == 2 && two.LoadDouble() == 0.5);
    CHECK(two.LoadString() == "x" && !two.LoadString() && two.LoadBytes() == CBytes{1});
    CHECK(two.LoadDate().time_since_epoch() == -1us && two.LoadObject().index() == 0 && two.GetSize() == 0);
    one.SetSize(0);
    CHECK(one.GetSize() == 0 && thrown([&] { one.SetSize(1); }).code() == code::invalid);
    CHECK(thrown([&] { one.SaveString("\xc3"); }).code() == code::invalid);
    CHECK(thrown([&] { one.SaveStrings({{"good", "\xff"}}); }).code() == code::invalid);
    CHECK(thrown([&] { one.SaveObject(std::string("\xff")); }).code() == code::invalid && one.GetSize() == 0);
    one << std::optional<std::string>();
    std::string text = "kept";
    CHECK(thrown([&] { one >> text; }).code() == code::invalid && text == "kept" && one.GetSize() == 4);
    std::optional<std::string> maybe = "x";
    one >> maybe;
    CHECK(!maybe && one.GetSize() == 0);
}

} // namespace
