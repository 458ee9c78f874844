/*
 * The scripts of tests/conformance through repliq.hpp; their language is described there.
 *
 * Usage: conformance [-e] [-r tcp|unix] FOLDER SCRIPT…
 *
 * FOLDER is empty and is used for the stores; -e prints errors; with -r every store is used at a server
 */
#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <netinet/in.h>
#include <repliq.hpp>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using std::string;
using std::string_view;
using std::chrono::milliseconds;

/** The script is wrong, or something else came than it says. */
struct wrong {
    string text;
};

struct step {
    std::vector<string> words;
    std::vector<std::pair<string, string>> fields;
    string code;
    std::optional<std::size_t> index;

    const string &word(std::size_t at) const
    {
        if (at >= words.size())
            throw wrong{"word " + std::to_string(at) + " is missing"};
        return words[at];
    }
    std::uint64_t number(std::size_t at) const { return std::stoull(word(at)); }
    milliseconds wait(std::size_t at) const { return milliseconds(number(at)); }
    std::vector<std::uint64_t> numbers(std::size_t from) const
    {
        std::vector<std::uint64_t> made;
        for (; from < words.size(); ++from)
            made.push_back(number(from));
        return made;
    }
    std::optional<string> field(string_view name) const
    {
        for (const auto &one : fields)
            if (one.first == name)
                return one.second;
        return std::nullopt;
    }
    repliq::level level() const
    {
        auto name = field("level");
        if (!name)
            return repliq::level::of_store;
        return *name == "process" ? repliq::level::process : repliq::level::power;
    }
};

/** Reads a quoted text from behind its first quote on. */
string quoted(string_view line, std::size_t &at)
{
    string text;
    for (; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] != '\\') {
            text += line[at];
            continue;
        }
        char escaped = line[++at];
        if (escaped == 'n')
            text += '\n';
        else if (escaped == '0')
            text += '\0';
        else if (escaped == 'x') {
            text += static_cast<char>(std::stoi(string(line.substr(at + 1, 2)), nullptr, 16));
            at += 2;
        } else
            text += escaped;
    }
    if (at >= line.size())
        throw wrong{"a quote is not closed"};
    ++at;
    if (at < line.size() && line[at] == '*') {
        string once = text;
        std::size_t length = 0;
        unsigned long times = std::stoul(string(line.substr(at + 1)), &length);
        text.clear();
        while (times-- > 0)
            text += once;
        at += 1 + length;
    }
    return text;
}

step parse(string_view line)
{
    step made;
    bool failing = false;
    for (std::size_t at = 0; at < line.size();) {
        if (line[at] == ' ') {
            ++at;
            continue;
        }
        string word;
        std::optional<string> name;
        bool quotes = false;
        while (at < line.size() && line[at] != ' ') {
            char next = line[at++];
            if (next == '"') {
                word += quoted(line, at);
                quotes = true;
            } else if (next == '=' && !name && !quotes) {
                name = std::exchange(word, {});
            } else
                word += next;
        }
        if (name)
            made.fields.emplace_back(*name, word);
        else if (failing && made.code.empty())
            made.code = word;
        else if (failing)
            made.index = std::stoul(word);
        else if (word == "!" && !quotes)
            failing = true;
        else
            made.words.push_back(word);
    }
    return made;
}

/** The messages of a step, one a text, all with the same fields. They look into the step. */
std::vector<repliq::message> messages(const step &of, std::size_t from)
{
    repliq::message one;
    for (const auto &[name, value] : of.fields) {
        auto number = [&value = value] { return std::stoull(value); };
        if (name == "kind")
            one.kind = static_cast<std::uint16_t>(number());
        else if (name == "key")
            one.key = value;
        else if (name == "producer")
            one.producer = value;
        else if (name == "producer_sequence")
            one.producer_sequence = number();
        else if (name == "deliver_at_ms")
            one.deliver_at_ms = number();
        else if (name == "priority")
            one.priority = static_cast<std::uint8_t>(number());
        else if (name == "expires") {
            auto now = std::chrono::system_clock::now().time_since_epoch();
            auto in_ms = std::chrono::duration_cast<milliseconds>(now).count() + std::stoll(value);
            one.expires_ms = static_cast<std::uint64_t>(in_ms);
        } else if (name.rfind("header.", 0) == 0)
            one.headers.push_back({string_view(name).substr(7), value});
        else if (name != "level" && name != "token")
            throw wrong{"no field " + name};
    }
    std::vector<repliq::message> all;
    for (; from < of.words.size(); ++from) {
        all.push_back(one);
        all.back().payload = of.words[from];
    }
    return all;
}

template <class T> T &get(std::map<string, T> &of, const string &name)
{
    auto found = of.find(name);
    if (found == of.end())
        throw wrong{name + " is not open"};
    return found->second;
}

template <class T> void set(std::map<string, T> &of, const string &name, T made)
{
    of.erase(name);
    of.emplace(name, std::move(made));
}

/** How every store is used at a server: "tcp" or "unix"; empty where they are in their directories. */
string way;

class world {
public:
    explicit world(std::filesystem::path folder) : folder_(std::move(folder)) {}

    void run(const step &of)
    {
        using verb = void (world::*)(const step &);
        static const std::map<string_view, verb> verbs = {
            {"open", &world::open},
            {"connect", &world::connect},
            {"connect_at", &world::connect},
            {"local", &world::local},
            {"close", &world::close},
            {"queue", &world::queue},
            {"pause", &world::pause},
            {"resume", &world::resume},
            {"purge", &world::purge},
            {"redrive", &world::redrive},
            {"delete", &world::remove},
            {"put", &world::put},
            {"put_start", &world::put_start},
            {"session", &world::session},
            {"id", &world::id},
            {"parse_id", &world::parse_id},
            {"round_trip_id", &world::round_trip_id},
            {"resolve", &world::resolve},
            {"prepare", &world::prepare},
            {"finish", &world::finish},
            {"prepared", &world::prepared},
            {"session_put", &world::session_put},
            {"session_receive", &world::read},
            {"commit", &world::commit},
            {"commit_start", &world::commit_start},
            {"rollback", &world::rollback},
            {"consumer", &world::consumer},
            {"consumer_delete", &world::consumer_delete},
            {"receive", &world::read},
            {"ack", &world::ack},
            {"reject", &world::reject},
            {"watch", &world::watch},
            {"renew", &world::renew},
            {"seek", &world::seek},
            {"snapshot", &world::snapshot},
            {"browse", &world::read},
            {"check", &world::check},
            {"port", &world::port},
            {"drain", &world::drain},
            {"wait", &world::wait},
            {"parse", &world::parse_token},
            {"round_trip", &world::round_trip},
            {"same", &world::compare},
            {"differ", &world::compare},
            {"join", &world::join},
            {"status", &world::status},
            {"password", &world::password},
            {"server", &world::server},
            {"replication", &world::replication},
            {"target", &world::target},
            {"target_at", &world::target},
            {"send", &world::send},
            {"start_job", &world::start_job},
            {"end_job", &world::end_job},
            {"abort_job", &world::abort_job},
            {"stop", &world::stop},
            {"talk", &world::talk},
            {"backup", &world::backup},
            {"restore", &world::restore},
            {"told", &world::told},
            {"copy", &world::copy},
            {"file", &world::file},
            {"sleep", &world::sleep},
        };
        auto found = verbs.find(of.word(0));
        if (found == verbs.end())
            throw wrong{"no verb " + of.word(0)};
        (this->*found->second)(of);
    }

    /** What a target said in its status, as a refusal. */
    string said() { return std::exchange(said_, {}); }

private:
    repliq::store &store(const step &of, std::size_t at) { return get(stores_, of.word(at)); }
    repliq::queue &queue_of(const step &of, std::size_t at) { return get(queues_, of.word(at)); }

    void open(const step &of)
    {
        repliq::store_options options;
        options.create = of.field("create") != "no";
        options.read_only = of.field("read_only") == "yes";
        if (of.field("level"))
            options.level = of.level();
        if (of.field("horizon") == "process")
            options.horizon = repliq::level::process;
        if (auto bytes = of.field("segment_bytes"))
            options.segment_bytes = std::stoull(*bytes);
        string password = of.field("password").value_or("");
        options.password = password;
        string path = of.word(2).empty() ? "" : (folder_ / of.word(2)).string();
        if (way.empty())
            set(stores_, of.word(1), repliq::store(path, options));
        else
            serve(of.word(1), repliq::store(path, options));
    }

    /** Serves an opened store to this run, and keeps under the name what its URL opens. */
    void serve(const string &name, repliq::store own)
    {
        repliq::server_options options;
        string socket = (folder_ / ("socket." + std::to_string(++sockets_))).string();
        options.plain = true;
        options.listen = {way == "unix" ? "unix:" + socket : "127.0.0.1:0"};
        options.users.push_back({"script", "secret", "replicate,publish,browse,consume,admin", "*"});
        repliq::server server(own, options);
        repliq::store_options reach;
        reach.plain = true;
        reach.password = "secret";
        string url = way == "unix" ? "repliq+unix://script@" + socket : "repliq://script@" + address(server);
        set(stores_, name, repliq::store(url, reach));
        set(own_, name, std::make_pair(std::move(own), std::move(server)));
    }

    /** Says how a step reaches a server, and returns its password, which is to outlive the options. */
    template <class Options> static string reach(const step &of, Options &options)
    {
        options.ca_file = of.field("ca").value_or("");
        options.plain = options.ca_file.empty();
        options.user = of.field("user").value_or("");
        options.reconnect_max = milliseconds(200);
        return of.field("password").value_or("");
    }

    /** Opens the store of a server. */
    void connect(const step &of)
    {
        repliq::store_options options;
        string password = reach(of, options);
        options.password = password;
        string url = of.word(2);
        if (of.word(0) == "connect") {
            auto socket = socket_of_.find(of.word(2));
            url = socket != socket_of_.end() ? "repliq+unix://" + socket->second : "repliq://" + address(of.word(2));
        }
        set(stores_, of.word(1), repliq::store(url, options));
    }

    /** What follows is for a directory, and so is this run; another one ends before it gets here. */
    void local(const step &) {}

    void close(const step &of)
    {
        const string &name = of.word(1);
        if (stores_.count(name) > 0) {
            get(stores_, name).close();
            stores_.erase(name);
            auto own = own_.find(name);
            if (own != own_.end()) {
                own->second.second.close();
                own->second.first.close();
                own_.erase(own);
            }
        } else if (servers_.count(name) > 0) {
            get(servers_, name).close();
            servers_.erase(name);
        } else if (replications_.count(name) > 0) {
            jobs_.erase(name);
            get(replications_, name).close();
            replications_.erase(name);
        } else if (sessions_.erase(name) + consumers_.erase(name) + snapshots_.erase(name) + ports_.erase(name) == 0)
            throw wrong{name + " is not open"};
    }

    void queue(const step &of) { set(queues_, of.word(2), store(of, 1).queue(of.word(3))); }
    void pause(const step &of) { queue_of(of, 2).pause(); }
    void resume(const step &of) { queue_of(of, 2).resume(); }
    void purge(const step &of) { queue_of(of, 2).purge(); }
    void remove(const step &of) { queue_of(of, 2).remove(); }
    void redrive(const step &of)
    {
        auto done = queue_of(of, 2).redrive(std::stoull(of.field("max").value_or("0")), of.field("drop") == "yes");
        if (done.done != of.number(3) || done.refused != of.number(4))
            throw wrong{std::to_string(done.done) + " were redriven and " + std::to_string(done.refused) +
                        " refused: " + done.reason};
    }

    void keep(const step &of, const repliq::result &made)
    {
        if (auto name = of.field("token"))
            tokens_[*name] = made.token;
    }

    void put(const step &of)
    {
        std::vector<repliq::message> all = messages(of, 3);
        const repliq::queue &to = queue_of(of, 2);
        keep(of, all.size() == 1 ? to.put(all[0], of.level()) : to.put_many(all, of.level()));
    }

    /** A future under a tag; the port of the script is where the futures wait. */
    void put_start(const step &of)
    {
        std::vector<repliq::message> all = messages(of, 5);
        auto made = all.size() == 1 ? queue_of(of, 2).put_async(all[0]) : queue_of(of, 2).put_many_async(all);
        get(ports_, of.word(3)).emplace(of.number(4), std::move(made));
    }

    void session(const step &of)
    {
        repliq::session_options options;
        options.name = of.field("name").value_or("");
        options.takeover = of.field("takeover") == "yes";
        options.idle = milliseconds(std::stoull(of.field("idle_ms").value_or("0")));
        options.bytes_max = std::stoull(of.field("bytes_max").value_or("0"));
        set(sessions_, of.word(1), store(of, 2).session(options));
    }
    void id(const step &of) { ids_[of.word(2)] = get(sessions_, of.word(1)).id(); }
    void parse_id(const step &of) { ids_[of.word(1)] = repliq::transaction_id::parse(of.word(2)); }
    void round_trip_id(const step &of)
    {
        repliq::transaction_id one = get(ids_, of.word(1)), again = repliq::transaction_id::parse(one.text());
        std::hash<repliq::transaction_id> hash;
        if (again != one || repliq::transaction_id::parse(one.raw()) != one || hash(again) != hash(one))
            throw wrong{"the round trip gave another identity"};
    }
    void resolve(const step &of)
    {
        static const std::map<string, repliq::outcome_state> words = {
            {"committed", repliq::outcome_state::committed},
            {"rolled_back", repliq::outcome_state::rolled_back},
            {"pending", repliq::outcome_state::pending},
            {"expired", repliq::outcome_state::expired},
        };
        repliq::outcome found = store(of, 1).resolve(get(ids_, of.word(2)));
        auto wanted = words.find(of.word(3));
        if (wanted == words.end() || found.state != wanted->second)
            throw wrong{"the outcome is " + std::to_string(static_cast<int>(found.state))};
        if (found.token.has_value() != (found.state == repliq::outcome_state::committed))
            throw wrong{"a token goes with a commit and with nothing else"};
        if (auto name = of.field("token"))
            tokens_[*name] = found.token.value();
    }
    void prepare(const step &of) { ids_[of.word(3)] = get(sessions_, of.word(1)).prepare(of.word(2)); }
    void finish(const step &of)
    {
        keep(of, store(of, 1).finish(get(ids_, of.word(2)), of.word(3) == "commit"));
    }
    void prepared(const step &of)
    {
        string text = store(of, 1).prepared();
        std::size_t count = 0;
        for (std::size_t at = 0; (at = text.find("\"transaction\"", at)) != string::npos; ++at)
            ++count;
        if (count != of.number(2))
            throw wrong{std::to_string(count) + " are prepared: " + text};
        for (std::size_t at = 3; at < of.words.size(); ++at)
            if (text.find(of.word(at)) == string::npos)
                throw wrong{text + " does not say so"};
    }
    void session_put(const step &of)
    {
        std::vector<repliq::message> all = messages(of, 3);
        if (all.size() == 1)
            get(sessions_, of.word(1)).put(queue_of(of, 2), all[0]);
        else
            get(sessions_, of.word(1)).put_many(queue_of(of, 2), all);
    }
    void commit(const step &of) { keep(of, get(sessions_, of.word(1)).commit()); }
    void commit_start(const step &of)
    {
        get(ports_, of.word(2)).emplace(of.number(3), get(sessions_, of.word(1)).commit_async());
    }
    void rollback(const step &of) { get(sessions_, of.word(1)).rollback(); }

    void consumer(const step &of)
    {
        repliq::consumer_options options;
        string from = of.field("from").value_or("oldest");
        if (from == "now")
            options.from = repliq::start::now();
        else if (from != "oldest")
            options.from = repliq::start::at(std::stoull(from));
        auto number = [&](const char *name) { return std::stoull(of.field(name).value_or("0")); };
        options.shared = of.field("shared") == "yes";
        options.keyed = of.field("keyed") == "yes";
        options.parallel = static_cast<std::uint32_t>(number("parallel"));
        options.per_key = static_cast<std::uint32_t>(number("per_key"));
        options.conflate = of.field("conflate") == "yes";
        options.key_versions = of.field("key_versions") == "yes";
        options.lease = std::chrono::milliseconds(number("lease_ms"));
        options.retry_delay = std::chrono::milliseconds(number("retry_delay_ms"));
        options.retry_multiplier = static_cast<std::uint32_t>(number("retry_multiplier"));
        options.retry_delay_max = std::chrono::milliseconds(number("retry_delay_ms_max"));
        options.max_deliveries = static_cast<std::uint32_t>(number("max_deliveries"));
        options.after_dead_letter = of.field("after") == "block" ? REPLIQ_AFTER_BLOCK
                                  : of.field("after") == "park"  ? REPLIQ_AFTER_PARK
                                                                 : REPLIQ_AFTER_SKIP;
        if (auto dead = of.field("dead_letters"))
            options.dead_letters = get(queues_, *dead).number();
        set(consumers_, of.word(1), store(of, 2).consumer(of.word(4), queue_of(of, 3), options));
    }
    void consumer_delete(const step &of) { store(of, 1).consumer_delete(of.word(3), queue_of(of, 2)); }
    void ack(const step &of) { get(consumers_, of.word(1)).ack(of.numbers(2)); }
    void reject(const step &of)
    {
        auto delay = std::chrono::milliseconds(std::stoull(of.field("delay_ms").value_or("0")));
        auto &from = get(consumers_, of.word(1));
        if (of.field("to_end") == "yes")
            from.reject_to_end(of.numbers(2), delay, of.field("reason").value_or(""));
        else
            from.reject(of.numbers(2), delay, of.field("reason").value_or(""));
    }
    void watch(const step &of) { get(consumers_, of.word(1)).watch(watched_[of.word(2)], of.number(3)); }
    void renew(const step &of) { get(consumers_, of.word(1)).renew(of.numbers(2)); }
    void seek(const step &of) { get(consumers_, of.word(1)).seek(of.number(2)); }
    void snapshot(const step &of) { set(snapshots_, of.word(1), store(of, 2).snapshot()); }

    void read(const step &of)
    {
        bool plain = of.word(0) == "receive", browse = of.word(0) == "browse";
        std::size_t expected = plain ? 4 : 5;
        std::size_t max = of.number(plain ? 2 : browse ? 4 : 3);
        std::size_t wanted = of.words.size() - expected;
        std::vector<repliq::received> found;
        for (;;) {
            std::size_t left = max - found.size();
            std::vector<repliq::received> more;
            if (browse) {
                std::uint64_t from = found.empty() ? of.number(3) : found.back().sequence() + 1;
                more = get(snapshots_, of.word(1)).browse(queue_of(of, 2), from, left);
            } else if (plain)
                more = get(consumers_, of.word(1)).receive(left, of.wait(3));
            else
                more = get(sessions_, of.word(1)).receive(get(consumers_, of.word(2)), left, of.wait(4));
            found.insert(found.end(), more.begin(), more.end());
            if (more.empty() || found.size() >= std::max<std::size_t>(wanted, 1))
                break;
        }
        bool same = found.size() == wanted;
        for (std::size_t i = 0; same && i < wanted; ++i)
            same = found[i].payload() == of.words[expected + i];
        if (!same) {
            string text = "got";
            for (const repliq::received &one : found)
                text += " \"" + string(one.payload().substr(0, 100)) + "\"";
            throw wrong{text};
        }
        read_ = std::move(found);
    }

    void check(const step &of)
    {
        if (of.number(1) >= read_.size())
            throw wrong{"no message " + of.word(1)};
        const repliq::received &one = read_[of.number(1)];
        for (const auto &[name, value] : of.fields) {
            string found;
            if (name == "kind")
                found = std::to_string(one.kind());
            else if (name == "key")
                found = one.key();
            else if (name == "producer")
                found = one.producer();
            else if (name == "producer_sequence")
                found = std::to_string(one.producer_sequence());
            else if (name == "sequence")
                found = std::to_string(one.sequence());
            else if (name == "deliveries")
                found = std::to_string(one.deliveries());
            else if (name == "priority")
                found = std::to_string(one.priority());
            else if (name == "deliver_at_ms")
                found = std::to_string(one.deliver_at_ms());
            else if (name == "queue")
                found = one.queue() == get(queues_, value).number() ? value : "another";
            else if (name.rfind("header.", 0) == 0)
                found = one.header_value(string_view(name).substr(7)).value_or("(none)");
            else
                throw wrong{"no field " + name};
            if (found != value)
                throw wrong{name + " is " + found};
        }
    }

    void port(const step &of) { ports_[of.word(1)].clear(); }
    void drain(const step &of)
    {
        if (auto watched = watched_.find(of.word(1)); watched != watched_.end())
            return drain_watched(of, watched->second);
        auto &pending = get(ports_, of.word(1));
        for (std::uint64_t tag : of.numbers(3)) {
            auto found = pending.find(tag);
            if (found == pending.end() || found->second.wait_for(of.wait(2)) != std::future_status::ready)
                throw wrong{"operation " + std::to_string(tag) + " did not end"};
            found->second.get();
            pending.erase(found);
        }
        for (auto &one : pending)
            if (one.second.wait_for(milliseconds(0)) == std::future_status::ready)
                throw wrong{"operation " + std::to_string(one.first) + " ended, too"};
    }

    /** Of a port on which consumers are watched. */
    void drain_watched(const step &of, repliq::port &from)
    {
        std::vector<std::uint64_t> wanted = of.numbers(3), ended;
        while (ended.size() < wanted.size()) {
            auto events = from.drain(wanted.size() - ended.size(), of.wait(2));
            if (events.empty())
                throw wrong{std::to_string(ended.size()) + " operations ended"};
            for (auto &one : events) {
                if (one.failure)
                    throw *one.failure;
                ended.push_back(one.tag);
            }
        }
        std::sort(ended.begin(), ended.end());
        std::sort(wanted.begin(), wanted.end());
        if (ended != wanted)
            throw wrong{"other operations ended"};
    }

    std::vector<repliq::token> tokens(const step &of, std::size_t from)
    {
        std::vector<repliq::token> made;
        for (; from < of.words.size(); ++from)
            made.push_back(get(tokens_, of.word(from)));
        return made;
    }
    void wait(const step &of) { store(of, 1).wait(tokens(of, 4), of.wait(3), of.word(2)); }
    void parse_token(const step &of) { tokens_[of.word(1)] = repliq::token::parse(of.word(2)); }
    void round_trip(const step &of)
    {
        repliq::token one = tokens(of, 1)[0];
        std::hash<repliq::token> hash;
        repliq::token again = repliq::token::parse(one.text());
        if (again != one || repliq::token::parse(one.raw()) != one || hash(again) != hash(one))
            throw wrong{"the round trip gave another token"};
    }
    void compare(const step &of)
    {
        auto both = tokens(of, 1);
        if ((both[0] == both[1]) != (of.word(0) == "same"))
            throw wrong{"the tokens are not " + of.word(0)};
    }
    void join(const step &of)
    {
        std::size_t left = repliq::token::join(tokens(of, 2)).size();
        if (left != of.number(1))
            throw wrong{std::to_string(left) + " tokens are left"};
    }
    void password(const step &of) { store(of, 1).change_password(of.word(2)); }
    string status_text(const string &name)
    {
        if (servers_.count(name) > 0)
            return get(servers_, name).status();
        if (replications_.count(name) > 0)
            return get(replications_, name).status();
        return get(stores_, name).status();
    }
    void status(const step &of)
    {
        auto end = std::chrono::steady_clock::now() + milliseconds(std::stoull(of.field("within").value_or("0")));
        for (;;) {
            string text = status_text(of.word(1)), missing;
            for (std::size_t at = 2; at < of.words.size(); ++at)
                if (text.find(of.word(at)) == string::npos)
                    missing = of.word(at);
            if (missing.empty())
                return;
            if (std::chrono::steady_clock::now() >= end)
                throw wrong{"no " + missing + " in " + text};
            std::this_thread::sleep_for(milliseconds(5));
        }
    }

    /** Where a server listens, which its status tells. */
    string address(const string &name) { return address(get(servers_, name)); }
    string address(const repliq::server &of)
    {
        string text = of.status();
        std::size_t at = text.find("127.0.0.1:");
        if (at == string::npos)
            throw wrong{"no address in " + text};
        return text.substr(at, text.find('"', at) - at);
    }
    void server(const step &of)
    {
        repliq::server_options options;
        auto at = of.field("at");
        string password = of.field("password").value_or("");
        auto socket = of.field("socket");
        string path = socket ? (folder_ / *socket).string() : "";
        options.plain = true;
        options.listen = {at ? address(*at) : socket ? "unix:" + path : "127.0.0.1:0"};
        options.users.push_back({of.field("user").value_or(""), password, of.field("verbs").value_or("replicate"),
                                 of.field("queues").value_or("*")});
        set(servers_, of.word(1), repliq::server(store(of, 2), options));
        if (socket)
            socket_of_[of.word(1)] = path;
    }
    void replication(const step &of)
    {
        set(replications_, of.word(1), repliq::replication(store(of, 2), queue_of(of, 3)));
    }
    repliq::replication &replication_of(const step &of) { return get(replications_, of.word(1)); }
    void target(const step &of)
    {
        repliq::target_options options;
        string password = reach(of, options);
        options.password = password;
        options.queue = of.field("queue").value_or("");
        string url = of.word(0) == "target" ? "repliq://" + address(of.word(3)) : of.word(3);
        replication_of(of).add(of.word(2), url, options);
    }
    void send(const step &of)
    {
        repliq::message one;
        one.kind = static_cast<std::uint16_t>(of.number(2));
        one.payload = of.word(3);
        keep(of, replication_of(of).send(one));
    }
    void start_job(const step &of)
    {
        repliq::job made = replication_of(of).job();
        set(jobs_, of.word(1), std::move(made));
    }
    void end_job(const step &of)
    {
        keep(of, get(jobs_, of.word(1)).end());
        jobs_.erase(of.word(1));
    }
    void abort_job(const step &of) { jobs_.erase(of.word(1)); }
    void stop(const step &of) { replication_of(of).stop(of.wait(2)); }

    /** Says something to a server and reads until it hangs up. */
    void talk(const step &of)
    {
        string where = address(of.word(1));
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<std::uint16_t>(std::stoul(where.substr(where.find(':') + 1))));
        timeval patience{20, 0};
        char answer[512];
        int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        const string &text = of.word(2);
        bool good = ::connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0
                    && ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
        ssize_t n = 1;
        while (good && n > 0)
            n = ::recv(fd, answer, sizeof answer, 0);
        good = good && (n == 0 || errno == ECONNRESET);
        ::close(fd);
        if (!good)
            throw wrong{where + " does not listen, or does not hang up"};
    }
    void backup(const step &of) { store(of, 1).backup((folder_ / of.word(2)).string()); }
    void restore(const step &of)
    {
        repliq::store_options options;
        string password = of.field("password").value_or("");
        options.password = password;
        repliq::store::restore((folder_ / of.word(1)).string(), (folder_ / of.word(2)).string(), options);
    }
    /** Waits until a target of the replication stands for this code, and tells what it says. */
    void told(const step &of)
    {
        string begin = "\"last_error\":\"";
        auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        for (;;) {
            string text = replication_of(of).status();
            std::size_t at = text.find(begin + of.word(2) + ": ");
            if (at != string::npos) {
                for (at += begin.size(); at < text.size() && text[at] != '"'; ++at)
                    said_ += text[at] == '\\' ? text[++at] : text[at];
                return;
            }
            if (std::chrono::steady_clock::now() >= end)
                throw wrong{"no target says " + of.word(2) + " in " + text};
            std::this_thread::sleep_for(milliseconds(5));
        }
    }
    void copy(const step &of) { std::filesystem::copy(folder_ / of.word(1), folder_ / of.word(2)); }
    void file(const step &of)
    {
        std::filesystem::path path = folder_ / of.word(1);
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << of.word(2);
    }
    void sleep(const step &of) { std::this_thread::sleep_for(of.wait(1)); }

    std::filesystem::path folder_;
    string said_;
    /** The directories and servers behind the stores that the run serves itself. */
    std::map<string, std::pair<repliq::store, repliq::server>> own_;
    int sockets_ = 0;
    std::map<string, string> socket_of_;
    std::map<string, repliq::transaction_id> ids_;
    std::map<string, repliq::store> stores_;
    std::map<string, repliq::queue> queues_;
    std::map<string, repliq::session> sessions_;
    std::map<string, repliq::consumer> consumers_;
    std::map<string, repliq::snapshot> snapshots_;
    std::map<string, std::map<std::uint64_t, std::future<repliq::result>>> ports_;
    std::map<string, repliq::port> watched_;
    std::map<string, repliq::token> tokens_;
    std::vector<repliq::received> read_;
    std::map<string, repliq::server> servers_;
    std::map<string, repliq::replication> replications_;
    std::map<string, repliq::job> jobs_;
};

bool print_errors = false;

/** Runs one step; nothing where it holds, otherwise why not. */
std::optional<string> holds(world &in, const step &of, const string &place)
{
    try {
        in.run(of);
        string said = in.said();
        if (print_errors && !said.empty())
            std::cout << "refused " << place << " " << said << "\n";
        if (of.code.empty())
            return std::nullopt;
        return "succeeded, not " + of.code;
    } catch (const wrong &found) {
        return found.text;
    } catch (const repliq::error &error) {
        string name = error.code().message();
        if (name == of.code && (!of.index || error.message_index() == of.index)) {
            if (print_errors)
                std::cout << "refused " << place << " " << name << ": " << error.what() << "\n";
            return std::nullopt;
        }
        return name + ": " + error.what();
    }
}

bool run(const std::filesystem::path &script, const std::filesystem::path &folder, std::size_t &steps)
{
    std::filesystem::create_directory(folder);
    world in(folder);
    std::ifstream file(script);
    string line;
    for (std::size_t at = 1; std::getline(file, line); ++at) {
        if (line.empty() || line[0] == '#' || line.find_first_not_of(' ') == string::npos)
            continue;
        ++steps;
        std::optional<string> why;
        try {
            step one = parse(line);
            if (!way.empty() && one.word(0) == "local")
                return true;
            why = holds(in, one, script.filename().string() + ":" + std::to_string(at));
        } catch (const wrong &found) {
            why = found.text;
        }
        if (why) {
            std::cout << "FAILED " << script.string() << ":" << at << ": " << *why << "\n";
            return false;
        }
    }
    return true;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc > 1 && string_view(argv[1]) == "-e") {
        print_errors = true;
        --argc, ++argv;
    }
    if (argc > 2 && string_view(argv[1]) == "-r") {
        way = argv[2];
        argc -= 2, argv += 2;
    }
    if (argc < 3) {
        std::cerr << "usage: conformance [-e] [-r tcp|unix] FOLDER SCRIPT...\n";
        return 2;
    }
    std::size_t steps = 0;
    int passed = 0, failed = 0;
    /* The path of a socket is absolute. */
    std::filesystem::path folder = std::filesystem::absolute(argv[1]);
    for (int i = 2; i < argc; ++i)
        ++(run(argv[i], folder / std::to_string(i), steps) ? passed : failed);
    std::cout << "conformance cpp" << (way.empty() ? "" : " over " + way) << ": " << argc - 2 << " scripts, " << steps << " steps\n"
              << passed << " passed, " << failed << " failed, 0 skipped\n";
    return failed > 0;
}
