/**
 * repliq for C++17: the same nouns and verbs as repliq.h, as values and owners.
 *
 *     #include <iostream>
 *     #include <repliq.hpp>
 *
 *     int main()
 *     {
 *         repliq::store store("shop");
 *         repliq::queue orders = store.queue("orders");
 *         orders.put("one pound of tea");
 *
 *         repliq::consumer clerk = store.consumer("clerk", orders);
 *         for (const repliq::received &order : clerk)
 *             std::cout << order.payload() << "\n";
 *     }
 *
 * - What can fail throws repliq::error, a std::system_error: code() to branch on, what() for people. Which codes a
 *   function can throw is said at the function of repliq.h that it calls, which has the same noun and verb.
 * - store, session, consumer, listener, snapshot, port, replication and server own their handle and close it at the
 *   end of the scope; a session rolls back what was not committed. They can be moved, not copied; what is left behind
 *   by a move is empty and throws invalid. close() tells what the end of the scope cannot: where it throws busy, the
 *   object is open as before.
 * - Options have the names, the defaults and the meaning that they have in repliq.h: 0 and empty stand for the default.
 *   Lengths of time are std::chrono; fields of a message that end in _ms are milliseconds since 1970.
 * - Threads as in repliq.h: everything may be used by several at once, except a session, and receive() and browse() of
 *   one object; the second is told busy.
 * - queue, token, result, transaction_id, outcome, bytes, message and received are values. A received message holds
 *   its own bytes.
 * - Waiting ends with a timeout, given as std::chrono duration; what was started without waiting ends in a
 *   std::future.
 *
 * Header only, on top of the C ABI: link with librepliq.
 */
#ifndef REPLIQ_HPP
#define REPLIQ_HPP

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "repliq.h"

namespace repliq {

/* ---- errors */

/** The number of an error, the same in every language; see repliq.h for what each means. */
enum class code : int {
    ok = REPLIQ_OK,
    invalid = REPLIQ_INVALID,
    bad_handle = REPLIQ_BAD_HANDLE,
    closed = REPLIQ_CLOSED,
    forked = REPLIQ_FORKED,
    busy = REPLIQ_BUSY,
    unsupported = REPLIQ_UNSUPPORTED,
    exists = REPLIQ_EXISTS,
    no_such_name = REPLIQ_NO_SUCH_NAME,
    too_large = REPLIQ_TOO_LARGE,
    quota = REPLIQ_QUOTA,
    no_space = REPLIQ_NO_SPACE,
    io = REPLIQ_IO,
    poisoned = REPLIQ_POISONED,
    corrupt = REPLIQ_CORRUPT,
    tampered = REPLIQ_TAMPERED,
    bad_password = REPLIQ_BAD_PASSWORD,
    not_a_store = REPLIQ_NOT_A_STORE,
    version = REPLIQ_VERSION,
    locked = REPLIQ_LOCKED,
    permission = REPLIQ_PERMISSION,
    read_only = REPLIQ_READ_ONLY,
    rollback_only = REPLIQ_ROLLBACK_ONLY,
    rolled_back = REPLIQ_ROLLED_BACK,
    outcome_unknown = REPLIQ_OUTCOME_UNKNOWN,
    outcome_expired = REPLIQ_OUTCOME_EXPIRED,
    stale = REPLIQ_STALE,
    fenced = REPLIQ_FENCED,
    paused = REPLIQ_PAUSED,
    timeout = REPLIQ_TIMEOUT,
    cancelled = REPLIQ_CANCELLED,
    empty = REPLIQ_EMPTY,
    not_found = REPLIQ_NOT_FOUND,
    wrong_group = REPLIQ_WRONG_GROUP,
    not_primary = REPLIQ_NOT_PRIMARY,
    unreachable = REPLIQ_UNREACHABLE,
    protocol = REPLIQ_PROTOCOL,
    denied = REPLIQ_DENIED,
    certificate = REPLIQ_CERTIFICATE,
    target = REPLIQ_TARGET,
    panic = REPLIQ_PANIC,
    diverged = REPLIQ_DIVERGED,
    out_of_order = REPLIQ_OUT_OF_ORDER
};

/** The category of the codes, "repliq". */
inline const std::error_category &category() noexcept
{
    class codes final : public std::error_category {
    public:
        const char *name() const noexcept override { return "repliq"; }
        std::string message(int value) const override { return repliq_code_name(value); }
    };
    static const codes instance;
    return instance;
}

inline std::error_code make_error_code(code value) noexcept
{
    return {static_cast<int>(value), category()};
}

} // namespace repliq

template <> struct std::is_error_code_enum<repliq::code> : std::true_type {};

namespace repliq {

/** What went wrong. Catch it, compare code() with a repliq::code, show what() to people. */
class error : public std::system_error {
public:
    error(repliq::code value, std::string text, repliq::code cause = repliq::code::ok)
        : std::system_error(make_error_code(value)), text_(std::move(text)),
          flags_(repliq_code_flags(static_cast<int>(value))), cause_(static_cast<int>(cause))
    {
    }

    explicit error(const repliq_error &from)
        : std::system_error(from.code, category()), text_(from.text), flags_(from.flags),
          cause_(from.cause_code), os_errno_(from.os_errno), index_(from.message_index),
          from_(from.sequence_from), to_(from.sequence_to)
    {
    }

    const char *what() const noexcept override { return text_.c_str(); }
    /** The code as an enumerator, for switch. */
    repliq::code value() const noexcept { return static_cast<repliq::code>(code().value()); }
    /** The code of the error behind this one; ok where there is none. */
    repliq::code cause() const noexcept { return static_cast<repliq::code>(cause_); }
    int os_errno() const noexcept { return os_errno_; }
    /** The same call may succeed later, as it is. */
    bool retriable() const noexcept { return (flags_ & REPLIQ_FLAG_RETRIABLE) != 0; }
    bool requires_rollback() const noexcept { return (flags_ & REPLIQ_FLAG_REQUIRES_ROLLBACK) != 0; }
    /** The object is finished. */
    bool fatal() const noexcept { return (flags_ & REPLIQ_FLAG_FATAL) != 0; }
    /** The message of a batch that was refused, counted from 0. */
    std::optional<std::size_t> message_index() const noexcept
    {
        return index_ == REPLIQ_NO_INDEX ? std::nullopt : std::optional<std::size_t>(index_);
    }
    /** The sequences or offsets it is about, first and last; zeros for none. */
    std::pair<std::uint64_t, std::uint64_t> range() const noexcept { return {from_, to_}; }

private:
    std::string text_;
    std::uint32_t flags_ = 0;
    int cause_ = 0;
    int os_errno_ = 0;
    std::uint32_t index_ = REPLIQ_NO_INDEX;
    std::uint64_t from_ = 0;
    std::uint64_t to_ = 0;
};

namespace detail {

inline void check(repliq_code result)
{
    if (result != REPLIQ_OK) {
        repliq_error last = REPLIQ_ERROR;
        repliq_error_last(&last);
        throw error(last);
    }
}

/** A text for C, which ends at its first NUL: one inside would name something else. */
inline std::string text(std::string_view from, const char *what)
{
    std::string made(from);
    std::string::size_type at = made.find('\0');
    if (at != std::string::npos) {
        for (; at != std::string::npos; at = made.find('\0', at + 1))
            made.replace(at, 1, "\\0");
        throw error(code::invalid,
                    "\"" + made + "\" is no name for a " + what + ": empty, or with control characters");
    }
    return made;
}

template <class Rep, class Period> std::uint64_t ms(std::chrono::duration<Rep, Period> wait)
{
    auto whole = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
    return whole < 0 ? 0 : static_cast<std::uint64_t>(whole);
}

/** The same where C has 32 bits for it; what is longer is as long as they can say. */
template <class Rep, class Period> std::uint32_t ms32(std::chrono::duration<Rep, Period> wait)
{
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(ms(wait), UINT32_MAX));
}

/** Closes a handle at the end of its owner. A ticket is no address, so a stale one does no harm. */
template <class T, repliq_code (*Close)(T *)> struct closer {
    void operator()(T *handle) const noexcept { Close(handle); }
};
template <class T, repliq_code (*Close)(T *)> using owner = std::unique_ptr<T, closer<T, Close>>;

/** Closes before the end of the scope; who could not be closed is still owned. */
template <class T, repliq_code (*Close)(T *)> void close(owner<T, Close> &of)
{
    check(Close(of.get()));
    of.release();
}

} // namespace detail

/* ---- values */

/** Bytes somewhere else: valid as long as what they were made from. */
class bytes {
public:
    constexpr bytes() noexcept = default;
    constexpr bytes(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    bytes(std::string_view from) noexcept : data_(from.data()), size_(from.size()) {}
    bytes(const std::string &from) noexcept : data_(from.data()), size_(from.size()) {}
    bytes(const char *from) noexcept : bytes(std::string_view(from)) {}
    template <class Byte, class = std::enable_if_t<sizeof(Byte) == 1>>
    bytes(const std::vector<Byte> &from) noexcept : data_(from.data()), size_(from.size())
    {
    }

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::string_view view() const noexcept { return {static_cast<const char *>(data_), size_}; }
    repliq_bytes c() const noexcept { return {data_, size_}; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/** A header of a message: a name and any bytes. */
struct header {
    std::string_view name;
    bytes value;
};

/** A message to be put. What it points to is copied by the put. */
struct message {
    bytes payload;
    bytes key = {};
    std::vector<header> headers = {};
    std::uint16_t kind = 0;
    std::string_view producer = {};
    std::uint64_t producer_sequence = 0;
    std::uint64_t expires_ms = 0;
    std::uint64_t deliver_at_ms = 0;
    std::uint8_t priority = 0;

    message() = default;
    /** From anything bytes can be made from. */
    template <class From, class = std::enable_if_t<std::is_constructible_v<bytes, From>>>
    message(const From &from) : payload(from)
    {
    }
};

/** What a commit survives. */
enum class level : int {
    /** As the store says. */
    of_store = 0,
    /** kill -9, but not a power cut. */
    process = REPLIQ_LEVEL_PROCESS,
    /** A power cut. */
    power = REPLIQ_LEVEL_POWER
};

/** The proof of a commit, to be asked for at any store of the same group. Has no order. */
class token {
public:
    token() noexcept : raw_{} {}
    explicit token(const repliq_token &raw) noexcept : raw_(raw) {}

    /** From 40 bytes, or the 54 characters of text(). */
    static token parse(bytes from)
    {
        token made;
        detail::check(repliq_token_parse(from.data(), from.size(), &made.raw_));
        return made;
    }

    std::string text() const
    {
        char made[REPLIQ_TOKEN_TEXT_SIZE];
        detail::check(repliq_token_text(&raw_, made, sizeof made));
        return made;
    }

    /** The least list that says the same. */
    static std::vector<token> join(const std::vector<token> &tokens)
    {
        std::vector<repliq_token> raw;
        for (const token &one : tokens)
            raw.push_back(one.raw_);
        std::size_t n = 0;
        if (!raw.empty())
            detail::check(repliq_token_join(raw.data(), raw.size(), raw.data(), &n));
        return std::vector<token>(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(n));
    }

    const repliq_token &c() const noexcept { return raw_; }
    bytes raw() const noexcept { return {raw_.bytes, sizeof raw_.bytes}; }
    friend bool operator==(const token &a, const token &b) noexcept
    {
        return std::memcmp(a.raw_.bytes, b.raw_.bytes, sizeof a.raw_.bytes) == 0;
    }
    friend bool operator!=(const token &a, const token &b) noexcept { return !(a == b); }
    friend std::ostream &operator<<(std::ostream &out, const token &t) { return out << t.text(); }

private:
    repliq_token raw_;
};

/** What a commit answers. */
struct result {
    repliq::token token;
    repliq::level level = level::of_store;

    result() = default;
    explicit result(const repliq_result &from)
        : token(from.token), level(static_cast<repliq::level>(from.level))
    {
    }
};

/** The identity of a session's transaction, known before its commit and after. */
class transaction_id {
public:
    transaction_id() noexcept : raw_{} {}
    explicit transaction_id(const repliq_transaction_id &raw) noexcept : raw_(raw) {}

    /** From 28 bytes, or text(). */
    static transaction_id parse(bytes from)
    {
        transaction_id made;
        detail::check(repliq_transaction_id_parse(from.data(), from.size(), &made.raw_));
        return made;
    }

    std::string text() const
    {
        char made[REPLIQ_TRANSACTION_ID_TEXT_SIZE];
        detail::check(repliq_transaction_id_text(&raw_, made, sizeof made));
        return made;
    }

    const repliq_transaction_id &c() const noexcept { return raw_; }
    bytes raw() const noexcept { return {raw_.bytes, sizeof raw_.bytes}; }
    friend bool operator==(const transaction_id &a, const transaction_id &b) noexcept
    {
        return std::memcmp(a.raw_.bytes, b.raw_.bytes, sizeof a.raw_.bytes) == 0;
    }
    friend bool operator!=(const transaction_id &a, const transaction_id &b) noexcept { return !(a == b); }
    friend std::ostream &operator<<(std::ostream &out, const transaction_id &id) { return out << id.text(); }

private:
    repliq_transaction_id raw_;
};

/** What can have become of a transaction. */
enum class outcome_state : int {
    /** It is committed, durably. */
    committed = REPLIQ_OUTCOME_COMMITTED,
    /** It is not, and never will be. */
    rolled_back = REPLIQ_OUTCOME_ROLLED_BACK,
    /** It is not known yet: it is prepared, or its commit waits for other members of the group. */
    pending = REPLIQ_OUTCOME_PENDING,
    /** Nobody knows any more: later transactions of the session were committed, or it was forgotten. */
    expired = REPLIQ_OUTCOME_EXPIRED
};

/** What became of a transaction. */
struct outcome {
    outcome_state state = outcome_state::expired;
    /** Of a committed one. */
    std::optional<repliq::token> token = std::nullopt;

    outcome() = default;
    explicit outcome(const repliq_outcome &from) : state(static_cast<outcome_state>(from.state))
    {
        if (state == outcome_state::committed)
            token = repliq::token(from.token);
    }
};

/** A message that was read. A copy shares the bytes, which live as long as the last one. */
class received {
public:
    std::string_view payload() const noexcept { return view(raw_.payload); }
    std::string_view key() const noexcept { return view(raw_.key); }
    const std::vector<header> &headers() const noexcept { return headers_; }
    /** The value of the first header of this name. */
    std::optional<std::string_view> header_value(std::string_view name) const
    {
        for (const header &one : headers_)
            if (one.name == name)
                return one.value.view();
        return std::nullopt;
    }
    std::string_view producer() const noexcept { return view(raw_.producer); }
    std::uint64_t producer_sequence() const noexcept { return raw_.producer_sequence; }
    std::uint64_t expires_ms() const noexcept { return raw_.expires_ms; }
    std::uint64_t deliver_at_ms() const noexcept { return raw_.deliver_at_ms; }
    std::uint8_t priority() const noexcept { return raw_.priority; }
    std::uint16_t kind() const noexcept { return raw_.kind; }
    /** Its place in its queue, gap-free from 1. */
    std::uint64_t sequence() const noexcept { return raw_.sequence; }
    std::uint64_t committed_ms() const noexcept { return raw_.committed_ms; }
    /** The number of its queue. */
    repliq_queue queue() const noexcept { return raw_.queue; }
    std::uint32_t deliveries() const noexcept { return raw_.deliveries; }

    /** Copies what C lends out: one buffer for all. */
    static std::vector<received> copy(const repliq_message *from, std::size_t n)
    {
        std::size_t size = 0;
        each(from, n, [&](repliq_bytes &part) { size += part.len; });
        std::shared_ptr<char[]> buffer(new char[size + 1]);
        std::vector<received> made(n);
        std::size_t at = 0;
        auto keep = [&](repliq_bytes part) {
            char *to = buffer.get() + at;
            if (part.len > 0)
                std::memcpy(to, part.data, part.len);
            at += part.len;
            return repliq_bytes{to, part.len};
        };
        for (std::size_t i = 0; i < n; ++i) {
            received &one = made[i];
            one.keep_ = buffer;
            one.raw_ = from[i];
            one.raw_.payload = keep(from[i].payload);
            one.raw_.key = keep(from[i].key);
            one.raw_.producer = keep(from[i].producer);
            one.raw_.headers = nullptr;
            for (std::size_t h = 0; h < from[i].header_count; ++h) {
                repliq_bytes name = keep(from[i].headers[h].name);
                repliq_bytes value = keep(from[i].headers[h].value);
                one.headers_.push_back({view(name), bytes(value.data, value.len)});
            }
        }
        return made;
    }

private:
    static std::string_view view(repliq_bytes from) noexcept
    {
        return {static_cast<const char *>(from.data), from.len};
    }

    template <class Visit> static void each(const repliq_message *from, std::size_t n, Visit visit)
    {
        for (std::size_t i = 0; i < n; ++i) {
            repliq_message one = from[i];
            visit(one.payload);
            visit(one.key);
            visit(one.producer);
            for (std::size_t h = 0; h < one.header_count; ++h) {
                repliq_header pair = one.headers[h];
                visit(pair.name);
                visit(pair.value);
            }
        }
    }

    std::shared_ptr<char[]> keep_;
    repliq_message raw_ = REPLIQ_MESSAGE;
    std::vector<header> headers_;
};

namespace detail {

/** Messages as C takes them. */
class packed {
public:
    template <class Iterator> packed(Iterator first, Iterator last)
    {
        std::size_t count = 0;
        for (Iterator at = first; at != last; ++at)
            count += static_cast<const message &>(*at).headers.size();
        headers_.reserve(count);
        for (; first != last; ++first)
            add(*first);
    }

    const repliq_message *data() const noexcept { return messages_.data(); }
    std::size_t size() const noexcept { return messages_.size(); }

private:
    void add(const message &from)
    {
        repliq_message to = REPLIQ_MESSAGE;
        to.payload = from.payload.c();
        to.key = from.key.c();
        to.headers = headers_.data() + headers_.size();
        to.header_count = from.headers.size();
        for (const header &one : from.headers)
            headers_.push_back({bytes(one.name).c(), one.value.c()});
        to.producer = bytes(from.producer).c();
        to.producer_sequence = from.producer_sequence;
        to.expires_ms = from.expires_ms;
        to.deliver_at_ms = from.deliver_at_ms;
        to.kind = from.kind;
        to.priority = from.priority;
        messages_.push_back(to);
    }

    std::vector<repliq_header> headers_;
    std::vector<repliq_message> messages_;
};

inline std::vector<repliq_token> raw(const std::vector<token> &tokens)
{
    std::vector<repliq_token> made;
    for (const token &one : tokens)
        made.push_back(one.c());
    return made;
}

/** A status of any length. */
template <class T>
std::string status(T *of, repliq_code (*call)(T *, char *, std::size_t, std::size_t *))
{
    std::string made(1024, '\0');
    for (;;) {
        std::size_t length = 0;
        check(call(of, made.data(), made.size(), &length));
        bool whole = length < made.size();
        made.resize(whole ? length : length + 256);
        if (whole)
            return made;
    }
}

/** Reads into a buffer of C messages that is kept for the next call. */
template <class Read> std::vector<received> read(std::vector<repliq_message> &room, std::size_t max, Read call)
{
    if (room.size() < max)
        room.resize(max);
    std::size_t n = 0;
    check(call(room.data(), max, &n));
    return received::copy(room.data(), n);
}

} // namespace detail

/* ---- asynchronous operations */

/** What happened to an operation started with a port. */
struct event {
    std::uint64_t tag = 0;
    /** What it answered, or the error it ended with. */
    repliq::result result;
    std::optional<error> failure;
};

/** A queue of finished operations, for event loops: poll fd(), then drain(). Futures need none. */
class port {
public:
    port()
    {
        repliq_port *made = nullptr;
        detail::check(repliq_port_open(&made));
        handle_.reset(made);
    }

    /** Readable while events wait. Neither read nor close it. */
    int fd() const
    {
        std::int32_t made = -1;
        detail::check(repliq_port_fd(c(), &made));
        return made;
    }

    template <class Rep, class Period>
    std::vector<event> drain(std::size_t max, std::chrono::duration<Rep, Period> wait)
    {
        std::vector<repliq_event> room(max == 0 ? 1 : max);
        std::size_t n = 0;
        detail::check(repliq_port_drain(c(), room.data(), room.size(), detail::ms(wait), &n));
        std::vector<event> made;
        for (std::size_t i = 0; i < n; ++i) {
            event one;
            one.tag = room[i].tag;
            if (room[i].code == REPLIQ_OK)
                one.result = result(room[i].result);
            else
                one.failure.emplace(static_cast<code>(room[i].code),
                                    std::string(bytes(room[i].text.data, room[i].text.len).view()),
                                    static_cast<code>(room[i].cause_code));
            made.push_back(std::move(one));
        }
        return made;
    }

    void cancel(std::uint64_t tag) { detail::check(repliq_port_cancel(c(), tag)); }
    repliq_port *c() const noexcept { return handle_.get(); }

private:
    detail::owner<repliq_port, repliq_port_close> handle_;
};

namespace detail {

/** Turns the events of a port into futures, on one thread that exists from the first of them on. */
class promises {
public:
    ~promises() { stop(); }

    /** `start` begins an operation on the port with a tag. */
    template <class Start> std::future<result> add(Start start)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        if (stopping_)
            throw error(code::closed, "the store is closed");
        if (!thread_.joinable())
            thread_ = std::thread([this] { run(); });
        std::uint64_t tag = ++last_;
        std::future<result> made = pending_[tag].get_future();
        lock.unlock();
        try {
            check(start(port_.c(), tag));
        } catch (...) {
            lock.lock();
            pending_.erase(tag);
            throw;
        }
        changed_.notify_one();
        return made;
    }

    /** Ends every operation that is still under way. */
    void stop() noexcept
    {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!thread_.joinable())
            return;
        stopping_ = true;
        std::vector<std::uint64_t> tags;
        for (const auto &one : pending_)
            tags.push_back(one.first);
        lock.unlock();
        changed_.notify_one();
        for (std::uint64_t tag : tags)
            repliq_port_cancel(port_.c(), tag);
        thread_.join();
    }

private:
    void run()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
            if (pending_.empty())
                return;
            lock.unlock();
            std::vector<event> events = port_.drain(256, std::chrono::hours(1));
            lock.lock();
            for (event &one : events) {
                auto found = pending_.find(one.tag);
                if (found == pending_.end())
                    continue;
                if (one.failure)
                    found->second.set_exception(std::make_exception_ptr(*one.failure));
                else
                    found->second.set_value(one.result);
                pending_.erase(found);
            }
        }
    }

    port port_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::unordered_map<std::uint64_t, std::promise<result>> pending_;
    std::uint64_t last_ = 0;
    bool stopping_ = false;
    std::thread thread_;
};

/** What a store and its queues share. The ticket stays after the close, so that a late use is told. */
struct opened {
    repliq_store *ticket = nullptr;
    promises futures;

    repliq_code close() noexcept
    {
        repliq_code result = repliq_store_close(ticket);
        futures.stop();
        return result;
    }
};

/** Where the futures of an object are made. */
inline promises &futures(const std::shared_ptr<opened> &of)
{
    if (!of)
        throw error(code::invalid, "cannot start anything on an object that was moved from: it is empty");
    return of->futures;
}

} // namespace detail

/* ---- objects */

/** A queue of a store: a value. The store must be open when it is used. */
class queue {
public:
    queue(std::shared_ptr<detail::opened> of, repliq_queue number) : of_(std::move(of)), number_(number) {}

    /** Puts a message as a transaction of its own and waits until it is as durable as asked. */
    result put(const message &one, level at = level::of_store) const
    {
        return put_range(&one, &one + 1, at);
    }

    /** Puts messages as one transaction: a container of messages, or of what bytes can be made from. */
    template <class Messages> result put_many(const Messages &all, level at = level::of_store) const
    {
        std::vector<message> made(std::begin(all), std::end(all));
        return put_range(made.begin(), made.end(), at);
    }

    /** Puts a message without waiting. */
    std::future<result> put_async(const message &one) const
    {
        return start_range(&one, &one + 1);
    }

    /** Puts messages as one transaction without waiting. */
    template <class Messages> std::future<result> put_many_async(const Messages &all) const
    {
        std::vector<message> made(std::begin(all), std::end(all));
        return start_range(made.begin(), made.end());
    }

    result pause() const { return change(repliq_queue_pause); }
    result resume() const { return change(repliq_queue_resume); }
    /** Drops every message that is in it now. */
    result purge() const { return change(repliq_queue_purge); }
    /** Deletes it with its messages and consumers. */
    result remove() const { return change(repliq_queue_delete); }

    /**
     * Puts its dead letters back where they came from, the oldest first, at most `max` of them, 0 for all; or drops them.
     * What is refused stays: how many that are, and why the first is, stands in what this returns.
     */
    repliq_redriven redrive(std::uint64_t max = 0, bool drop = false) const
    {
        repliq_redriven made;
        detail::check(repliq_queue_redrive(store(), number_, max, drop ? REPLIQ_YES : REPLIQ_NO, &made));
        return made;
    }

    repliq_queue number() const noexcept { return number_; }
    friend bool operator==(const queue &a, const queue &b) noexcept
    {
        return a.of_ == b.of_ && a.number_ == b.number_;
    }
    friend bool operator!=(const queue &a, const queue &b) noexcept { return !(a == b); }

private:
    repliq_store *store() const noexcept { return of_ ? of_->ticket : nullptr; }

    template <class Iterator> result put_range(Iterator first, Iterator last, level at) const
    {
        detail::packed packed(first, last);
        repliq_put_options options = REPLIQ_PUT_OPTIONS;
        options.level = static_cast<int>(at);
        repliq_result made;
        detail::check(repliq_store_put(store(), number_, packed.data(), packed.size(), &options, &made));
        return result(made);
    }

    template <class Iterator> std::future<result> start_range(Iterator first, Iterator last) const
    {
        detail::packed packed(first, last);
        return detail::futures(of_).add([&](repliq_port *port, std::uint64_t tag) {
            return repliq_store_put_start(store(), number_, packed.data(), packed.size(), port, tag);
        });
    }

    result change(repliq_code (*call)(repliq_store *, repliq_queue, repliq_result *)) const
    {
        repliq_result made;
        detail::check(call(store(), number_, &made));
        return result(made);
    }

    std::shared_ptr<detail::opened> of_;
    repliq_queue number_;
};

/** Where a consumer begins that is created by opening it. */
struct start {
    static start oldest() { return {REPLIQ_FROM_OLDEST, 0}; }
    static start now() { return {REPLIQ_FROM_NOW, 0}; }
    static start at(std::uint64_t sequence) { return {REPLIQ_FROM_SEQUENCE, sequence}; }
    int from = REPLIQ_FROM_OLDEST;
    std::uint64_t sequence = 0;
};

struct consumer_options {
    start from = start::oldest();
    /** level::process lets acknowledgements ride with the next sync. */
    level ack_level = level::of_store;
    /** Several consumers of this name may be open, each message going to one; all with the same options. */
    bool shared = false;
    /** Messages of one key are handed out one after the other; a key is busy until they are acknowledged. */
    bool keyed = false;
    /** With shared: messages that may be out at a time over all of them; 0 for no bound. */
    std::uint32_t parallel = 0;
    /** With keyed: messages of one key that one receive may hand out together; 0 for 1. */
    std::uint32_t per_key = 0;
    /** With shared or keyed: when another may be handed what this one has; 0 for never. */
    std::chrono::milliseconds lease = std::chrono::milliseconds(0);
    /** Before a message that was given back, or rolled back, comes again; multiplied with each further time. */
    std::chrono::milliseconds retry_delay = std::chrono::milliseconds(0);
    std::uint32_t retry_multiplier = 0;
    /** What it grows to at most; 0 for no bound. */
    std::chrono::milliseconds retry_delay_max = std::chrono::milliseconds(0);
    /** How often a message is handed out at most: one that comes back from the last time moves to dead_letters. */
    std::uint32_t max_deliveries = 0;
    /** Number of the queue it moves to, with headers that say why, how often, when and from where; 0 = none. */
    repliq_queue dead_letters = 0;
    /** With keyed: what the rest of a key does behind a dead letter: REPLIQ_AFTER_SKIP, _BLOCK or _PARK. */
    int after_dead_letter = REPLIQ_AFTER_SKIP;
    /** With keyed: of the messages of one key that wait the newest is handed out alone, and those before it never. */
    bool conflate = false;
    /** With keyed: what has a version of its key in "repliq-version" that was processed before is not handed out. */
    bool key_versions = false;
};

/** How to open a session. */
struct session_options {
    /** What its commits must survive. */
    repliq::level level = level::of_store;
    /** Its name, of which one is open at a time; empty for none. */
    std::string name = {};
    /** Takes the session of this name over from whoever has it open, who is fenced from then on. */
    bool takeover = false;
    /** How long a transaction may be open without a call before it is rolled back; 0 for no bound but the server's. */
    std::chrono::milliseconds idle = std::chrono::milliseconds(0);
    /** Bytes a transaction may put, 64 more for each message; beyond it can only be rolled back; 0 for no bound. */
    std::uint64_t bytes_max = 0;
};

class consumer;
class listener;

/** One transaction after the other over any queues of one store. One thread at a time. */
class session {
public:
    /** Adds a message to the transaction. */
    void put(const queue &to, const message &one)
    {
        detail::packed packed(&one, &one + 1);
        detail::check(repliq_session_put(c(), to.number(), packed.data(), packed.size()));
    }

    template <class Messages> void put_many(const queue &to, const Messages &all)
    {
        std::vector<message> made(std::begin(all), std::end(all));
        detail::packed packed(made.begin(), made.end());
        detail::check(repliq_session_put(c(), to.number(), packed.data(), packed.size()));
    }

    /** Receives into the transaction: the commit acknowledges. */
    template <class Rep, class Period>
    std::vector<received> receive(const consumer &from, std::size_t max, std::chrono::duration<Rep, Period> wait);

    result commit()
    {
        repliq_result made;
        detail::check(repliq_session_commit(c(), &made));
        return result(made);
    }

    /** Commits at the store's level without waiting; the next transaction begins. */
    std::future<result> commit_async()
    {
        // A session that a handler was lent is committed by its listener: this says so.
        if (lent_ != nullptr)
            detail::check(repliq_session_commit(c(), nullptr));
        return detail::futures(of_).add([this](repliq_port *port, std::uint64_t tag) {
            return repliq_session_commit_start(c(), port, tag);
        });
    }

    /**
     * Prepares the transaction for a coordinator outside, under the name it gives: nobody sees it, and it outlives
     * everything, until store::finish() ends it. The next transaction begins.
     */
    transaction_id prepare(bytes xid = {})
    {
        repliq_transaction_id made;
        detail::check(repliq_session_prepare(c(), xid.data(), xid.size(), &made));
        return transaction_id(made);
    }

    void rollback() { detail::check(repliq_session_rollback(c())); }

    /** The identity of the open transaction: store::resolve() tells what became of it, also after a crash. */
    transaction_id id()
    {
        repliq_transaction_id made;
        detail::check(repliq_session_id(c(), &made));
        return transaction_id(made);
    }

    /** Rolls back what was not committed; so does the end of the scope. */
    void close() { detail::close(handle_); }
    repliq_session *c() const noexcept { return lent_ != nullptr ? lent_ : handle_.get(); }

private:
    friend class store;
    friend class listener;
    session(std::shared_ptr<detail::opened> of, repliq_session *own) : of_(std::move(of)), handle_(own) {}
    explicit session(repliq_session *lent) : lent_(lent) {}

    std::shared_ptr<detail::opened> of_;
    detail::owner<repliq_session, repliq_session_close> handle_;
    repliq_session *lent_ = nullptr;
    std::vector<repliq_message> room_;
};

/** What a listener's handler answers; one that returns nothing says done, one that throws says retry. */
enum class handled : int { done = REPLIQ_HANDLED, retry = REPLIQ_RETRY, park = REPLIQ_PARK };

struct listener_options {
    /** Call with all messages of a transaction instead of one message. */
    bool job = false;
    /** What happens to messages that fail: REPLIQ_POLICY_BLOCK, _PARK or _DEAD_LETTER. */
    int policy = REPLIQ_POLICY_BLOCK;
    std::uint32_t dead_letter_after = 0;
    std::string dead_letter_queue = {};
    std::chrono::milliseconds retry = std::chrono::milliseconds(0);
    std::chrono::milliseconds retry_max = std::chrono::milliseconds(0);
    /** Threads that call the handler; with several of them it is called by several at once. */
    std::uint32_t threads = 1;
};

/** A consumer with a handler on a thread of its own, or on several. Closing waits for the calls under way. */
class listener {
public:
    using handler = std::function<handled(session &, const std::vector<received> &)>;

    void close() { detail::close(handle_); }

private:
    friend class consumer;
    listener(repliq_consumer *of, handler call, const listener_options &chosen)
        : call_(std::make_unique<handler>(std::move(call)))
    {
        std::string dead = detail::text(chosen.dead_letter_queue, "queue");
        repliq_listener_options options = REPLIQ_LISTENER_OPTIONS;
        options.unit = chosen.job ? REPLIQ_UNIT_JOB : REPLIQ_UNIT_MESSAGE;
        options.policy = chosen.policy;
        options.dead_letter_after = chosen.dead_letter_after;
        options.dead_letter_queue = dead.empty() ? nullptr : dead.c_str();
        options.retry_ms = detail::ms(chosen.retry);
        options.retry_ms_max = detail::ms(chosen.retry_max);
        options.threads = chosen.threads;
        repliq_listener *made = nullptr;
        detail::check(repliq_listener_open(of, trampoline, call_.get(), &options, &made));
        handle_.reset(made);
    }

    static std::int32_t trampoline(void *user, repliq_session *lent, const repliq_message *messages,
                                   std::size_t n) noexcept
    {
        try {
            session in(lent);
            return static_cast<std::int32_t>((*static_cast<handler *>(user))(in, received::copy(messages, n)));
        } catch (...) {
            return REPLIQ_RETRY;
        }
    }

    std::unique_ptr<handler> call_;
    detail::owner<repliq_listener, repliq_listener_close> handle_;
};

/**
 * A named, durable reader of a queue.
 *
 * In a range-for it hands out what is there and ends when nothing is left (each(wait): when nothing came for so
 * long). A message is acknowledged when the next one is asked for, so a body that throws or breaks leaves its
 * message in the queue.
 */
class consumer {
public:
    template <class Rep, class Period>
    std::vector<received> receive(std::size_t max, std::chrono::duration<Rep, Period> wait)
    {
        return detail::read(room_, max, [&](repliq_message *out, std::size_t size, std::size_t *n) {
            return repliq_consumer_receive(c(), out, size, detail::ms(wait), n);
        });
    }

    /** Ends on the port once a receive may give something, or would fail; several are waited for with one port. */
    void watch(const port &with, std::uint64_t tag) const
    {
        detail::check(repliq_consumer_watch(c(), with.c(), tag));
    }

    result ack(const std::vector<std::uint64_t> &sequences)
    {
        repliq_result made;
        detail::check(repliq_consumer_ack(c(), sequences.data(), sequences.size(), &made));
        return result(made);
    }
    result ack(const received &one) { return ack(std::vector<std::uint64_t>{one.sequence()}); }

    /** Gives messages back; they come again before newer ones, after the delay or as the options say. */
    void reject(const std::vector<std::uint64_t> &sequences,
                std::chrono::milliseconds delay = std::chrono::milliseconds(0), std::string_view reason = {})
    {
        std::string why = detail::text(reason, "reason");
        detail::check(repliq_consumer_reject(c(), sequences.data(), sequences.size(), detail::ms(delay),
                                             why.empty() ? nullptr : why.c_str()));
    }
    void reject(const received &one, std::chrono::milliseconds delay = std::chrono::milliseconds(0),
                std::string_view reason = {})
    {
        reject(std::vector<std::uint64_t>{one.sequence()}, delay, reason);
    }

    /** The same, but they come behind all that is in the queue now, in this order. */
    void reject_to_end(const std::vector<std::uint64_t> &sequences,
                       std::chrono::milliseconds delay = std::chrono::milliseconds(0), std::string_view reason = {})
    {
        std::string why = detail::text(reason, "reason");
        detail::check(repliq_consumer_reject_to_end(c(), sequences.data(), sequences.size(), detail::ms(delay),
                                                    why.empty() ? nullptr : why.c_str()));
    }
    void reject_to_end(const received &one, std::chrono::milliseconds delay = std::chrono::milliseconds(0),
                       std::string_view reason = {})
    {
        reject_to_end(std::vector<std::uint64_t>{one.sequence()}, delay, reason);
    }

    /** Keeps messages for another lease from now on. */
    void renew(const std::vector<std::uint64_t> &sequences)
    {
        detail::check(repliq_consumer_renew(c(), sequences.data(), sequences.size()));
    }
    void renew(const received &one) { renew(std::vector<std::uint64_t>{one.sequence()}); }

    result seek(std::uint64_t sequence)
    {
        repliq_result made;
        detail::check(repliq_consumer_seek(c(), sequence, &made));
        return result(made);
    }

    void close() { detail::close(handle_); }

    /** Makes a listener of it; the consumer is empty afterwards: `std::move(clerk).listen(…)`. */
    template <class Handler> listener listen(Handler call, const listener_options &options = {}) &&
    {
        listener::handler made = [call = std::move(call)](session &in, const std::vector<received> &all) mutable {
            if constexpr (std::is_void_v<decltype(call(in, all))>) {
                call(in, all);
                return handled::done;
            } else {
                return static_cast<handled>(call(in, all));
            }
        };
        return listener(handle_.release(), std::move(made), options);
    }

    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = received;
        using difference_type = std::ptrdiff_t;
        using pointer = const received *;
        using reference = const received &;

        iterator() = default;
        iterator(consumer *from, std::chrono::milliseconds wait) : from_(from), wait_(wait) { next(); }
        reference operator*() const { return *current_; }
        pointer operator->() const { return &*current_; }
        iterator &operator++()
        {
            from_->ack(*current_);
            next();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) { return a.from_ == b.from_; }
        friend bool operator!=(const iterator &a, const iterator &b) { return !(a == b); }

    private:
        void next()
        {
            std::vector<received> found = from_->receive(1, wait_);
            if (found.empty())
                from_ = nullptr;
            else
                current_ = std::move(found.front());
        }

        consumer *from_ = nullptr;
        std::chrono::milliseconds wait_ = std::chrono::milliseconds(0);
        std::optional<received> current_;
    };

    /** What each() gives to a range-for. */
    struct range {
        consumer *from;
        std::chrono::milliseconds wait;
        iterator begin() const { return {from, wait}; }
        iterator end() const { return {}; }
    };

    iterator begin() { return {this, std::chrono::milliseconds(0)}; }
    iterator end() { return {}; }
    template <class Rep, class Period> range each(std::chrono::duration<Rep, Period> wait)
    {
        return {this, std::chrono::ceil<std::chrono::milliseconds>(wait)};
    }

    repliq_consumer *c() const noexcept { return handle_.get(); }

private:
    friend class store;
    explicit consumer(repliq_consumer *own) : handle_(own) {}

    detail::owner<repliq_consumer, repliq_consumer_close> handle_;
    std::vector<repliq_message> room_;
};

template <class Rep, class Period>
std::vector<received> session::receive(const consumer &from, std::size_t max,
                                       std::chrono::duration<Rep, Period> wait)
{
    return detail::read(room_, max, [&](repliq_message *out, std::size_t size, std::size_t *n) {
        return repliq_session_receive(c(), from.c(), out, size, detail::ms(wait), n);
    });
}

/** A look at the queues of a store as they were, without taking anything. */
class snapshot {
public:
    /** At most `max` messages from the sequence on; none at the end. */
    std::vector<received> browse(const queue &of, std::uint64_t from, std::size_t max)
    {
        return detail::read(room_, max, [&](repliq_message *out, std::size_t size, std::size_t *n) {
            return repliq_snapshot_browse(handle_.get(), of.number(), from, out, size, n);
        });
    }

private:
    friend class store;
    explicit snapshot(repliq_snapshot *own) : handle_(own) {}

    detail::owner<repliq_snapshot, repliq_snapshot_close> handle_;
    std::vector<repliq_message> room_;
};

/** How to open a store. */
struct store_options {
    std::string_view password = {};
    bool create = true;
    bool read_only = false;
    bool helper = true;
    repliq::level level = level::power;
    /** What that survives which others have seen; with level::process they see it without a sync. */
    repliq::level horizon = level::power;
    /** 0 is the default of this and what follows; see repliq.h. */
    std::uint64_t segment_bytes = 0;
    std::uint64_t segment_bytes_max = 0;
    std::uint64_t keep_ms = 0;
    std::uint64_t keep_bytes = 0;
    std::uint64_t quota_bytes = 0;
    /** For a store opened by URL, as what follows: plain TCP instead of TLS. */
    bool plain = false;
    /** As whom to log in where the URL does not say; `password` is then the user's. */
    std::string user = {};
    std::string ca_file = {};
    std::string server_name = {};
    std::chrono::milliseconds heartbeat = std::chrono::milliseconds(0);
    std::chrono::milliseconds connect_timeout = std::chrono::milliseconds(0);
    std::chrono::milliseconds reconnect_max = std::chrono::milliseconds(0);
    /** Whether to try again after a lost connection. */
    bool reconnect = true;
};

/** An open store: a directory, or a server by its URL. */
class store {
public:
    explicit store(std::string_view path, const store_options &chosen = {})
    {
        std::vector<std::string> texts;
        repliq_store_options options = made_of(chosen, texts);
        repliq_store *made = nullptr;
        detail::check(repliq_store_open(detail::text(path, "store").c_str(), &options, &made));
        try {
            of_ = std::make_shared<detail::opened>();
        } catch (...) {
            repliq_store_close(made);
            throw;
        }
        of_->ticket = made;
    }

    store(store &&) noexcept = default;
    store &operator=(store &&other) noexcept
    {
        std::swap(of_, other.of_);
        return *this;
    }
    ~store()
    {
        if (of_)
            of_->close();
    }

    /** Makes everything durable and gives the directory free; what is still used of it throws. */
    void close()
    {
        if (of_)
            detail::check(of_->close());
    }

    /** The queue of this name; it is created on first use. */
    repliq::queue queue(std::string_view name) const
    {
        repliq_queue number = 0;
        detail::check(repliq_store_queue(c(), detail::text(name, "queue").c_str(), &number));
        return {of_, number};
    }

    repliq::session session(repliq::level at = level::of_store) const
    {
        session_options chosen;
        chosen.level = at;
        return session(chosen);
    }

    /** A session that is remembered, and open once at a time, where the options name it. */
    repliq::session session(const session_options &chosen) const
    {
        std::string name = detail::text(chosen.name, "session");
        repliq_session_options options = REPLIQ_SESSION_OPTIONS;
        options.level = static_cast<int>(chosen.level);
        options.name = name.empty() ? nullptr : name.c_str();
        options.takeover = chosen.takeover ? REPLIQ_YES : REPLIQ_NO;
        options.idle_ms = detail::ms32(chosen.idle);
        options.bytes_max = chosen.bytes_max;
        repliq_session *made = nullptr;
        detail::check(repliq_session_open(c(), &options, &made));
        return {of_, made};
    }

    /** What became of a session's transaction, finally: one whose commit has not begun never will be committed. */
    outcome resolve(const transaction_id &id) const
    {
        repliq_outcome made;
        detail::check(repliq_store_resolve(c(), &id.c(), &made));
        return outcome(made);
    }

    /** Commits a prepared transaction, or rolls it back, durably. It may come from anywhere, and again. */
    result finish(const transaction_id &id, bool commit) const
    {
        repliq_result made;
        detail::check(repliq_store_finish(c(), &id.c(), commit ? REPLIQ_YES : REPLIQ_NO, &made));
        return result(made);
    }

    /** The prepared transactions that wait, and those that were ended by hand, as a JSON array. */
    std::string prepared() const { return detail::status(c(), repliq_store_prepared); }

    /** The consumer of this name; it is created on first use. */
    repliq::consumer consumer(std::string_view name, const repliq::queue &of,
                              const consumer_options &chosen = {}) const
    {
        repliq_consumer_options options = REPLIQ_CONSUMER_OPTIONS;
        options.from = chosen.from.from;
        options.from_sequence = chosen.from.sequence;
        options.ack_level = static_cast<int>(chosen.ack_level);
        options.shared = chosen.shared ? REPLIQ_YES : REPLIQ_NO;
        options.keyed = chosen.keyed ? REPLIQ_YES : REPLIQ_NO;
        options.parallel = chosen.parallel;
        options.per_key = chosen.per_key;
        options.lease_ms = detail::ms(chosen.lease);
        options.retry_delay_ms = detail::ms(chosen.retry_delay);
        options.retry_multiplier = chosen.retry_multiplier;
        options.retry_delay_ms_max = detail::ms(chosen.retry_delay_max);
        options.max_deliveries = chosen.max_deliveries;
        options.dead_letters = chosen.dead_letters;
        options.after_dead_letter = chosen.after_dead_letter;
        options.conflate = chosen.conflate ? REPLIQ_YES : REPLIQ_NO;
        options.key_versions = chosen.key_versions ? REPLIQ_YES : REPLIQ_NO;
        repliq_consumer *made = nullptr;
        std::string text = detail::text(name, "consumer");
        detail::check(repliq_consumer_open(c(), text.c_str(), of.number(), &options, &made));
        return repliq::consumer(made);
    }

    /** Copies everything committed into a directory while others go on; the next backup there copies what is new. */
    repliq_backup backup(std::string_view dest) const
    {
        repliq_backup made;
        detail::check(repliq_store_backup(c(), detail::text(dest, "backup").c_str(), &made));
        return made;
    }

    /** Makes a store of a backup in a directory that is empty or missing; it begins a new epoch. */
    static repliq_backup restore(std::string_view backup, std::string_view path, const store_options &chosen = {})
    {
        std::vector<std::string> texts;
        repliq_store_options options = made_of(chosen, texts);
        repliq_backup made;
        std::string from = detail::text(backup, "backup"), to = detail::text(path, "store");
        detail::check(repliq_store_restore(from.c_str(), to.c_str(), &options, &made));
        return made;
    }

    /** Gives an encrypted store another password; a crash leaves one of the two valid. */
    void change_password(std::string_view password) const
    {
        detail::check(repliq_store_password(c(), password.data(), password.size()));
    }

    result consumer_delete(std::string_view name, const repliq::queue &of) const
    {
        repliq_result made;
        std::string text = detail::text(name, "consumer");
        detail::check(repliq_consumer_delete(c(), text.c_str(), of.number(), &made));
        return result(made);
    }

    repliq::snapshot snapshot() const
    {
        repliq_snapshot *made = nullptr;
        detail::check(repliq_snapshot_open(c(), &made));
        return repliq::snapshot(made);
    }

    /** Waits until the transactions of the tokens are at a place: "" (here), "target:NAME", "target:*", "consumer:NAME". */
    template <class Rep, class Period>
    void wait(const std::vector<token> &tokens, std::chrono::duration<Rep, Period> timeout,
              std::string_view at = "") const
    {
        std::vector<repliq_token> raw = detail::raw(tokens);
        std::string place = detail::text(at, "place");
        detail::check(repliq_store_wait(c(), place.c_str(), raw.data(), raw.size(), detail::ms(timeout)));
    }
    template <class Rep, class Period>
    void wait(const token &one, std::chrono::duration<Rep, Period> timeout, std::string_view at = "") const
    {
        wait(std::vector<token>{one}, timeout, at);
    }

    /** The same without waiting here. */
    std::future<result> wait_async(const std::vector<token> &tokens, std::string_view at = "") const
    {
        std::vector<repliq_token> raw = detail::raw(tokens);
        std::string place = detail::text(at, "place");
        return detail::futures(of_).add([&](repliq_port *port, std::uint64_t tag) {
            return repliq_store_watch(c(), place.c_str(), raw.data(), raw.size(), port, tag);
        });
    }

    /** What it is and has, as JSON. */
    std::string status() const { return detail::status(c(), repliq_store_status); }

    repliq_store *c() const noexcept { return of_ ? of_->ticket : nullptr; }

private:
    /** `texts` holds what the options point to. */
    static repliq_store_options made_of(const store_options &chosen, std::vector<std::string> &texts)
    {
        texts.reserve(3);
        auto text = [&](std::string_view from, const char *what) -> const char * {
            if (from.empty())
                return nullptr;
            texts.push_back(detail::text(from, what));
            return texts.back().c_str();
        };
        repliq_store_options options = REPLIQ_STORE_OPTIONS;
        options.password = bytes(chosen.password).c();
        options.create = chosen.create ? REPLIQ_YES : REPLIQ_NO;
        options.read_only = chosen.read_only ? REPLIQ_YES : REPLIQ_NO;
        options.helper = chosen.helper ? REPLIQ_YES : REPLIQ_NO;
        options.level = static_cast<int>(chosen.level);
        options.horizon = static_cast<int>(chosen.horizon);
        options.segment_bytes = chosen.segment_bytes;
        options.segment_bytes_max = chosen.segment_bytes_max;
        options.keep_ms = chosen.keep_ms;
        options.keep_bytes = chosen.keep_bytes;
        options.quota_bytes = chosen.quota_bytes;
        options.plain = chosen.plain ? REPLIQ_YES : REPLIQ_NO;
        options.user = text(chosen.user, "user");
        options.ca_file = text(chosen.ca_file, "file");
        options.server_name = text(chosen.server_name, "server");
        options.heartbeat_ms = detail::ms(chosen.heartbeat);
        options.connect_timeout_ms = detail::ms(chosen.connect_timeout);
        options.reconnect_ms_max = detail::ms(chosen.reconnect_max);
        options.reconnect = chosen.reconnect ? REPLIQ_YES : REPLIQ_NO;
        return options;
    }

    std::shared_ptr<detail::opened> of_;
};

/* ---- replication */

/** How to reach a target, and what it gets; see repliq.h for each. */
struct target_options {
    std::string_view password = {};
    bool plain = false;
    std::string user = {};
    std::string ca_file = {};
    std::string server_name = {};
    /** The queue at the target; empty for the one the URL names, or else the root's name. */
    std::string queue = {};
    std::vector<std::uint16_t> kinds = {};
    std::string_view key_prefix = {};
    std::string header_name = {};
    std::optional<std::string> header_value = std::nullopt;
    /** Where a new target begins: start::oldest() or start::now(). */
    start from = start::oldest();
    std::chrono::milliseconds heartbeat = std::chrono::milliseconds(0);
    std::chrono::milliseconds connect_timeout = std::chrono::milliseconds(0);
    std::chrono::milliseconds reconnect_max = std::chrono::milliseconds(0);
    /** Whether to try again after a failure or a lost connection. */
    bool reconnect = true;
};

/** How a target is. */
struct target_status {
    bool connected = false;
    /** Its link waits for an operator. */
    bool stopped = false;
    /** The last transaction of the store up to which everything for it is there, durably: epoch and sequence, or zeros. */
    std::uint32_t position_epoch = 0;
    std::uint64_t position_sequence = 0;
    /** Messages of the root it has not confirmed, their bytes, and the age of the oldest. */
    std::uint64_t lag_messages = 0;
    std::uint64_t lag_bytes = 0;
    std::chrono::milliseconds lag = std::chrono::milliseconds(0);
    /** What went wrong last; empty for nothing. */
    std::string last_error = {};
};

class replication;

/** An open job of a replication: what is sent is one transaction. Rolls back unless end() was called. */
class job {
public:
    job(job &&other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    job &operator=(job &&) = delete;
    ~job()
    {
        if (of_ != nullptr)
            repliq_replication_abort_job(of_);
    }

    /** Commits it. */
    result end()
    {
        repliq_result made;
        detail::check(repliq_replication_end_job(std::exchange(of_, nullptr), &made));
        return result(made);
    }

private:
    friend class replication;
    explicit job(repliq_replication *of) : of_(of) { detail::check(repliq_replication_start_job(of)); }

    repliq_replication *of_;
};

/** A root queue that reaches every target, in order, once, job by job. */
class replication {
public:
    replication(const store &of, const queue &root, level at = level::of_store)
    {
        repliq_replication_options options = REPLIQ_REPLICATION_OPTIONS;
        options.level = static_cast<int>(at);
        repliq_replication *made = nullptr;
        detail::check(repliq_replication_open(of.c(), root.number(), &options, &made));
        handle_.reset(made);
    }

    /** Adds a target and starts its link; returns at once, connected or not. */
    void add(std::string_view name, std::string_view url, const target_options &chosen)
    {
        std::vector<std::string> texts;
        texts.reserve(6);
        auto text = [&](std::string_view from, const char *what) -> const char * {
            if (from.empty())
                return nullptr;
            texts.push_back(detail::text(from, what));
            return texts.back().c_str();
        };
        repliq_target_options options = REPLIQ_TARGET_OPTIONS;
        options.plain = chosen.plain ? REPLIQ_YES : REPLIQ_NO;
        options.queue = text(chosen.queue, "queue");
        options.user = text(chosen.user, "user");
        options.password = bytes(chosen.password).c();
        options.ca_file = text(chosen.ca_file, "file");
        options.server_name = text(chosen.server_name, "server");
        options.kinds = chosen.kinds.data();
        options.kind_count = chosen.kinds.size();
        options.key_prefix = bytes(chosen.key_prefix).c();
        options.header_name = text(chosen.header_name, "header");
        std::string value = detail::text(chosen.header_value.value_or(""), "value of a header");
        options.header_value = chosen.header_value ? value.c_str() : nullptr;
        options.from = chosen.from.from;
        options.heartbeat_ms = detail::ms(chosen.heartbeat);
        options.connect_timeout_ms = detail::ms(chosen.connect_timeout);
        options.reconnect_ms_max = detail::ms(chosen.reconnect_max);
        options.reconnect = chosen.reconnect ? REPLIQ_YES : REPLIQ_NO;
        detail::check(repliq_replication_add(c(), detail::text(name, "target").c_str(),
                                             detail::text(url, "URL").c_str(), &options));
    }

    /** Ends a target for good. */
    void remove(std::string_view name) { named(name, repliq_replication_remove); }
    /** Sets the transaction aside that a target refuses. */
    void skip(std::string_view name) { named(name, repliq_replication_skip); }
    /** Lets a target go on that is behind what is still kept. */
    void accept_gap(std::string_view name) { named(name, repliq_replication_accept_gap); }

    /** Into the open job, or as a transaction of its own. */
    void send(std::uint16_t kind, bytes payload)
    {
        detail::check(repliq_replication_send(c(), kind, payload.data(), payload.size()));
    }
    result send(const message &one) { return send_range(&one, &one + 1); }
    template <class Messages> result send_many(const Messages &all)
    {
        std::vector<message> made(std::begin(all), std::end(all));
        return send_range(made.begin(), made.end());
    }

    /** Begins a job; it is given up where its end() is not called in its scope. */
    repliq::job job() { return repliq::job(c()); }
    void push() { detail::check(repliq_replication_push(c())); }
    std::string status() const { return detail::status(c(), repliq_replication_status); }
    /** How the target of this name is. */
    target_status target(std::string_view name) const
    {
        repliq_target_status found = REPLIQ_TARGET_STATUS;
        detail::check(repliq_replication_target(c(), detail::text(name, "target").c_str(), &found));
        return {found.connected == REPLIQ_YES,
                found.stopped == REPLIQ_YES,
                found.position_epoch,
                found.position_sequence,
                found.lag_messages,
                found.lag_bytes,
                std::chrono::milliseconds(found.lag_ms),
                found.last_error};
    }

    /** Waits until every target has everything, and ends the links. */
    template <class Rep, class Period> void stop(std::chrono::duration<Rep, Period> timeout)
    {
        detail::check(repliq_replication_stop(c(), detail::ms(timeout)));
    }
    void close() { detail::close(handle_); }
    repliq_replication *c() const noexcept { return handle_.get(); }

private:
    void named(std::string_view name, repliq_code (*call)(repliq_replication *, const char *))
    {
        detail::check(call(c(), detail::text(name, "target").c_str()));
    }

    template <class Iterator> result send_range(Iterator first, Iterator last)
    {
        detail::packed packed(first, last);
        repliq_result made;
        detail::check(repliq_replication_send_many(c(), packed.data(), packed.size(), &made));
        return result(made);
    }

    detail::owner<repliq_replication, repliq_replication_close> handle_;
};

/* ---- server */

/** A user of a server, and what it may do: verbs on the queues, each with commas between. */
struct user {
    std::string name;
    std::string_view password;
    std::string verbs = "replicate";
    std::string queues = "*";
};

/** How to serve; 0 and empty are the defaults. */
struct server_options {
    /** "host:port", "[address]:port", "unix:/path"; none for "127.0.0.1:20901". */
    std::vector<std::string> listen = {};
    bool plain = false;
    std::string certificate_file = {};
    std::string key_file = {};
    /** The users come from this file, or else from the next field. */
    std::string users_file = {};
    std::vector<user> users = {};
    std::chrono::milliseconds heartbeat = std::chrono::milliseconds(0);
    std::chrono::milliseconds login = std::chrono::milliseconds(0);
    std::chrono::milliseconds failure_wait_max = std::chrono::milliseconds(0);
    std::uint32_t connections_max = 0;
    std::uint32_t strangers_max = 0;
    std::uint32_t failures_max = 0;
    /** Of all sessions together, and how many percent of each of the three one user has at most. */
    std::uint32_t sessions_max = 0;
    std::uint32_t transactions_max = 0;
    std::uint64_t staged_bytes_max = 0;
    std::uint32_t user_share = 0;
};

/** A store that others can reach. */
class server {
public:
    server(const store &of, const server_options &chosen)
    {
        // What C reads to its first NUL must not hold one.
        auto whole = [](const std::string &from, const char *what) {
            detail::text(from, what);
            return from.c_str();
        };
        std::vector<const char *> listen;
        for (const std::string &one : chosen.listen)
            listen.push_back(whole(one, "address"));
        std::vector<repliq_user> users;
        for (const user &one : chosen.users)
            users.push_back({whole(one.name, "user"), bytes(one.password).c(), whole(one.verbs, "verb"),
                             whole(one.queues, "queue")});
        auto text = [&](const std::string &from) { return from.empty() ? nullptr : whole(from, "file"); };
        repliq_server_options options = REPLIQ_SERVER_OPTIONS;
        options.plain = chosen.plain ? REPLIQ_YES : REPLIQ_NO;
        options.listen = listen.data();
        options.listen_count = listen.size();
        options.certificate_file = text(chosen.certificate_file);
        options.key_file = text(chosen.key_file);
        options.users_file = text(chosen.users_file);
        options.users = users.data();
        options.user_count = users.size();
        options.heartbeat_ms = detail::ms(chosen.heartbeat);
        options.login_ms = detail::ms(chosen.login);
        options.failure_wait_ms_max = detail::ms(chosen.failure_wait_max);
        options.connections_max = chosen.connections_max;
        options.strangers_max = chosen.strangers_max;
        options.failures_max = chosen.failures_max;
        options.sessions_max = chosen.sessions_max;
        options.transactions_max = chosen.transactions_max;
        options.staged_bytes_max = chosen.staged_bytes_max;
        options.user_share = chosen.user_share;
        repliq_server *made = nullptr;
        detail::check(repliq_server_open(of.c(), &options, &made));
        handle_.reset(made);
    }

    std::string status() const { return detail::status(c(), repliq_server_status); }
    /** Reads users, certificate and key again. */
    void reload() { detail::check(repliq_server_reload(c())); }
    void close() { detail::close(handle_); }
    repliq_server *c() const noexcept { return handle_.get(); }

private:
    detail::owner<repliq_server, repliq_server_close> handle_;
};

/* ---- the library */

/** The version of the library. */
inline std::string version() { return repliq_version(); }

/** The number of the ABI the library has; REPLIQ_ABI_VERSION is the header's. */
inline std::uint32_t abi_version() noexcept { return repliq_abi_version(); }

/** Sends log lines of the level (REPLIQ_LOG_*) and more important ones to a function; an empty one ends that. */
inline void log_set(std::function<void(int, std::string_view, std::string_view)> call, int level)
{
    using function = std::function<void(int, std::string_view, std::string_view)>;
    static std::mutex mutex;
    static std::unique_ptr<function> kept;
    std::lock_guard<std::mutex> lock(mutex);
    std::unique_ptr<function> next = call ? std::make_unique<function>(std::move(call)) : nullptr;
    auto trampoline = [](void *user, std::int32_t at, const char *target, const char *text) noexcept {
        try {
            (*static_cast<function *>(user))(at, target, text);
        } catch (...) {
            /* A log line that cannot be written is lost. */
        }
    };
    detail::check(repliq_log_set(next ? static_cast<repliq_log_function>(trampoline) : nullptr, next.get(), level));
    kept = std::move(next);
}

} // namespace repliq

template <> struct std::hash<repliq::token> {
    std::size_t operator()(const repliq::token &of) const noexcept
    {
        return std::hash<std::string_view>()(of.raw().view());
    }
};

template <> struct std::hash<repliq::transaction_id> {
    std::size_t operator()(const repliq::transaction_id &of) const noexcept
    {
        return std::hash<std::string_view>()(of.raw().view());
    }
};

#endif /* REPLIQ_HPP */
