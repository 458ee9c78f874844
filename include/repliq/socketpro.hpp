/**
 * CReplication: the face of repliq for those who know SocketPro's. Names, defaults, units and answers, and what
 * differs, are in docs/SOCKETPRO.md.
 *
 *     #include <repliq/socketpro.hpp>
 *     using namespace repliq::socketpro;
 *
 *     QueueConfigure::SetMessageQueuePassword("MyQPassword");
 *     QueueConfigure::SetWorkDirectory("sp_test/");
 *     CReplication rep{ReplicationSetting{}};
 *     rep.Start({{"Tolocal", CConnectionContext{"127.0.0.1", 20901, "replication", "p4localhost"}}},
 *               "hw_root_queue_name");
 *     rep.StartJob();
 *     rep.Send(0x2002, CScopeUQueue{} << "David" << "Young");
 *     rep.EndJob();
 *
 * What answers a bool does not throw, whatever goes wrong: LastError() says what did. Header only, on top of
 * repliq.hpp.
 */
#ifndef REPLIQ_SOCKETPRO_HPP
#define REPLIQ_SOCKETPRO_HPP

#include <algorithm>
#include <any>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <repliq.hpp>
#include <repliq/scope_queue.hpp>

namespace repliq::socketpro {

/** Seconds for which a request keeps its worth where nothing else is said: 30 days. */
inline constexpr std::uint32_t DEFAULT_TTL = 30 * 24 * 3600;
inline constexpr std::uint32_t DEFAULT_RECV_TIMEOUT = 30000;
inline constexpr std::uint32_t DEFAULT_CONN_TIMEOUT = 30000;

/** How a connection is protected. */
enum tagEncryptionMethod : int {
    /** Plain TCP; the server must allow it, too. */
    NoEncryption = 0,
    /** TLS 1.3, whatever the name says, with a certificate that is verified. */
    TLSv1 = 1
};

namespace detail {

/** A directory with a separator at its end. */
inline std::string folder(std::string path)
{
    if (path.empty())
        return "./";
    if (path.back() != '/')
        path += '/';
    return path;
}

struct process {
    std::mutex mutex;
    std::string directory = "./";
    std::string password;

    static process &here()
    {
        static process one;
        return one;
    }
};

} // namespace detail

/** What holds for the whole process, from the next Start on. */
class QueueConfigure {
public:
    QueueConfigure() = delete;

    /** Where new settings put their queues. */
    static void SetWorkDirectory(std::string_view directory)
    {
        detail::process &here = detail::process::here();
        std::lock_guard<std::mutex> lock(here.mutex);
        here.directory = detail::folder(std::string(directory));
    }
    /** Ends with a separator; "./" where none was set. */
    static std::string GetWorkDirectory()
    {
        detail::process &here = detail::process::here();
        std::lock_guard<std::mutex> lock(here.mutex);
        return here.directory;
    }
    /** The password of every store that is opened from now on; empty for none. */
    static void SetMessageQueuePassword(std::string_view password)
    {
        detail::process &here = detail::process::here();
        std::lock_guard<std::mutex> lock(here.mutex);
        here.password = password;
    }
};

/** How to replicate. */
struct ReplicationSetting {
    /** The directory of the stores; Start makes it where it is missing. */
    std::string QueueDir = QueueConfigure::GetWorkDirectory();
    /** One try for each target, and none after it. */
    bool NoAutoConn = false;
    /** Seconds after which a request loses its worth; 0 is the default. */
    std::uint32_t TTL = DEFAULT_TTL;
    /** Milliseconds without a sign of life after which a connection counts as gone; 0 is the default. */
    std::uint32_t RecvTimeout = DEFAULT_RECV_TIMEOUT;
    /** Milliseconds for connecting and logging in; 0 is the default. */
    std::uint32_t ConnTimeout = DEFAULT_CONN_TIMEOUT;
};

/** Where a target is. */
struct CConnectionContext {
    std::string Host = "localhost";
    std::uint16_t Port = 20901;
    std::string UserId;
    std::string Password;
    tagEncryptionMethod EncrytionMethod = NoEncryption;
    /** Nothing is compressed: true is refused. */
    bool Zip = false;
    /** Refuses a host that is an IPv4 address; both families are tried in any case. */
    bool V6 = false;
    /** The user's own. */
    std::any AnyData;
    /** The queue at the server where it has another name than the root. */
    std::string Queue;
    /** PEM file of the authorities to trust instead of the system's. */
    std::string CaFile;
    /** The name in the certificate where it is not the host. */
    std::string ServerName;

    CConnectionContext() = default;
    CConnectionContext(std::string host, std::uint16_t port, std::string user, std::string password,
                       tagEncryptionMethod method = NoEncryption, bool v6 = false, bool zip = false,
                       std::any any = {})
        : Host(std::move(host)), Port(port), UserId(std::move(user)), Password(std::move(password)),
          EncrytionMethod(method), Zip(zip), V6(v6), AnyData(std::move(any))
    {
    }
};

/** The targets of a root and where they are. */
using CMapQNameConn = std::map<std::string, CConnectionContext>;

/** A root or a target as it was when it was asked for. */
class CClientQueue {
public:
    const std::string &GetQueueName() const noexcept { return name_; }
    /** The directory of the store. */
    const std::string &GetQueueFileName() const noexcept { return directory_; }
    /** Messages that the target, or any target of the root, has not confirmed. */
    std::uint64_t GetMessageCount() const noexcept { return messages_; }
    bool IsAvailable() const noexcept { return available_; }
    /** Encrypted. */
    bool IsSecure() const noexcept { return secure_; }
    /** In seconds. */
    std::uint32_t GetTTL() const noexcept { return ttl_; }
    /** Connected and logged in; of the root: any of the targets. */
    bool IsConnected() const noexcept { return connected_; }
    /** Why the link failed last; empty for no failure, and for the root. */
    const std::string &GetLastError() const noexcept { return last_error_; }

private:
    friend class CReplication;
    std::string name_;
    std::string directory_;
    std::uint64_t messages_ = 0;
    std::uint32_t ttl_ = 0;
    bool available_ = false;
    bool secure_ = false;
    bool connected_ = false;
    std::string last_error_;
};

/**
 * A root queue that reaches every target, in order, once, job by job.
 *
 * Any number of threads may call anything but Start and the destructor at once. The job belongs to the object and
 * not to a thread.
 */
class CReplication {
public:
    static constexpr char DIR_SEP = '/';
    /** Request ids up to this one are reserved. */
    static constexpr std::uint16_t RESERVED_ID = 0x2001;

    /** Opens nothing and cannot fail; that is up to Start. */
    explicit CReplication(ReplicationSetting setting) : setting_(std::move(setting))
    {
        auto or_default = [](std::uint32_t &value, std::uint32_t other) { value = value == 0 ? other : value; };
        or_default(setting_.TTL, DEFAULT_TTL);
        or_default(setting_.RecvTimeout, DEFAULT_RECV_TIMEOUT);
        or_default(setting_.ConnTimeout, DEFAULT_CONN_TIMEOUT);
        setting_.QueueDir = detail::folder(std::move(setting_.QueueDir));
    }
    CReplication(const CReplication &) = delete;
    CReplication &operator=(const CReplication &) = delete;
    /** Gives an open job up and ends the links; what is stored goes out after the next Start. */
    virtual ~CReplication() { put(nullptr); }

    /**
     * Opens the root with its targets; true when the queues are open, whether a target is connected or not. Closes
     * what was open before. With one target the name of the root does not matter.
     */
    bool Start(const CMapQNameConn &connections, std::string_view root = {})
    {
        return told([&] {
            put(nullptr);
            for (const auto &[name, connection] : connections)
                check(name, connection);
            if (connections.empty())
                throw error(code::invalid, "cannot start a replication without a connection");
            std::string queue(root.empty() ? std::string_view("replication") : root);
            if (connections.size() == 1)
                queue = connections.begin()->first;
            check_name(queue, "root queue");
            put(std::make_shared<opened>(setting_, connections, queue));
        });
    }

    /** One request; true when it is stored, as durably as the store promises, or is part of the open job. */
    virtual bool Send(std::uint16_t id, const std::uint8_t *data, std::uint32_t size)
    {
        return told([&] {
            if (id <= RESERVED_ID)
                throw error(code::invalid, "request id " + std::to_string(id) + " is reserved: begin with 8194");
            if (data == nullptr && size > 0)
                throw error(code::invalid, "a request of " + std::to_string(size) + " bytes at NULL");
            std::shared_ptr<opened> now = get();
            message one(bytes(data, size));
            one.kind = id;
            auto clock = std::chrono::system_clock::now() + std::chrono::seconds(setting_.TTL);
            one.expires_ms = repliq::detail::ms(clock.time_since_epoch());
            now->link.send(one);
        });
    }
    bool Send(std::uint16_t id) { return Send(id, nullptr, std::uint32_t(0)); }
    bool Send(std::uint16_t id, const CScopeUQueue &packed)
    {
        std::string_view all = packed.GetBuffer();
        if (all.size() > UINT32_MAX)
            return told([&] { throw error(code::too_large, "a request of more than 4 GiB"); });
        return Send(id, reinterpret_cast<const std::uint8_t *>(all.data()), static_cast<std::uint32_t>(all.size()));
    }
    /** One request with these values, packed one after the other. */
    template <class... Values> bool Send(std::uint16_t id, const Values &...values)
    {
        if constexpr (is_raw<Values...>()) {
            return send_raw(id, values...);
        } else {
            CScopeUQueue packed;
            return told([&] { (packed.Save(values), ...); }) && Send(id, packed);
        }
    }

    /** From here to EndJob, everything that any thread sends is one transaction. */
    bool StartJob()
    {
        return told([&] { repliq::detail::check(repliq_replication_start_job(get()->link.c())); });
    }
    /** Commits the job. After false it is gone, and nothing of it is stored. */
    bool EndJob()
    {
        return told([&] { repliq::detail::check(repliq_replication_end_job(get()->link.c(), nullptr)); });
    }
    /** Gives the job up: nothing of it is left. */
    bool AbortJob()
    {
        return told([&] { repliq::detail::check(repliq_replication_abort_job(get()->link.c())); });
    }
    /** Sees to it that what is stored goes out now, which it does by itself. False with one target. */
    bool DoReplication()
    {
        return told([&] {
            std::shared_ptr<opened> now = get();
            if (now->targets.size() < 2)
                throw error(code::invalid, "there is nothing to replicate: \"" + now->root + "\" has one target");
            now->link.push();
        });
    }

    /** Started with two targets or more. */
    bool IsReplicable() const { return GetHosts() > 1; }
    /** How many targets are connected and logged in. */
    std::uint32_t GetConnections() const
    {
        std::uint32_t count = 0;
        for (const CClientQueue &target : GetTargetQueues())
            count += target.IsConnected() ? 1 : 0;
        return count;
    }
    /** How many targets there are. */
    std::uint32_t GetHosts() const
    {
        std::shared_ptr<opened> now = look();
        return now ? static_cast<std::uint32_t>(now->targets.size()) : 0;
    }
    /** The targets, and the root where there are two targets or more. */
    std::uint32_t GetQueues() const
    {
        std::uint32_t hosts = GetHosts();
        return hosts > 1 ? hosts + 1 : hosts;
    }
    CClientQueue GetSourceQueue() const
    {
        std::shared_ptr<opened> now = look();
        CClientQueue made = now ? now->describe(now->root, setting_.TTL) : CClientQueue();
        for (const CClientQueue &target : GetTargetQueues()) {
            made.messages_ = std::max(made.messages_, target.messages_);
            made.connected_ = made.connected_ || target.connected_;
        }
        return made;
    }
    /** In the order of their names. */
    std::vector<CClientQueue> GetTargetQueues() const
    {
        std::vector<CClientQueue> all;
        std::shared_ptr<opened> now = look();
        if (!now)
            return all;
        for (const std::string &name : now->targets) {
            CClientQueue made = now->describe(name, setting_.TTL);
            try {
                target_status found = now->link.target(name);
                made.messages_ = found.lag_messages;
                made.connected_ = found.connected;
                made.last_error_ = std::move(found.last_error);
            } catch (const error &failure) {
                made.available_ = false;
                made.last_error_ = failure.what();
            }
            all.push_back(std::move(made));
        }
        return all;
    }
    /** With the defaults put in for 0. */
    const ReplicationSetting &GetReplicationSetting() const noexcept { return setting_; }
    /** Why the last call of this thread that answers a bool failed; code::ok where it did not. */
    error LastError() const { return last(); }

private:
    /** What a successful Start opened. It closes when the last call that uses it is over. */
    struct opened {
        std::string root;
        std::string directory;
        std::vector<std::string> targets;
        bool secure = false;
        repliq::store store;
        repliq::replication link;

        opened(const ReplicationSetting &setting, const CMapQNameConn &connections, std::string name)
            : root(std::move(name)), directory(setting.QueueDir + root + ".repliq/"), store(open(setting)),
              link(store, store.queue(root))
        {
            for (const auto &[target, connection] : connections) {
                add(setting, target, connection);
                targets.push_back(target);
            }
        }

        repliq::store open(const ReplicationSetting &setting)
        {
            std::error_code failure;
            std::filesystem::create_directories(setting.QueueDir, failure);
            // Where that failed, opening says why.
            store_options options;
            detail::process &here = detail::process::here();
            std::string password;
            {
                std::lock_guard<std::mutex> lock(here.mutex);
                password = here.password;
            }
            secure = !password.empty();
            options.password = password;
            return repliq::store(directory, options);
        }

        void add(const ReplicationSetting &setting, const std::string &target, const CConnectionContext &to)
        {
            bool brackets = to.Host.find(':') != std::string::npos;
            std::string url = "repliq://" + (brackets ? "[" + to.Host + "]" : to.Host) + ":" + std::to_string(to.Port);
            target_options options;
            options.user = to.UserId;
            options.password = to.Password;
            options.plain = to.EncrytionMethod == NoEncryption;
            options.ca_file = to.CaFile;
            options.server_name = to.ServerName;
            options.queue = to.Queue;
            options.heartbeat = std::chrono::milliseconds(std::clamp(setting.RecvTimeout / 3, 50u, 20000u));
            options.connect_timeout = std::chrono::milliseconds(setting.ConnTimeout);
            options.reconnect_max = std::chrono::seconds(5);
            options.reconnect = !setting.NoAutoConn;
            link.add(target, url, options);
        }

        CClientQueue describe(const std::string &name, std::uint32_t ttl) const
        {
            CClientQueue made;
            made.name_ = name;
            made.directory_ = directory;
            made.ttl_ = ttl;
            made.available_ = true;
            made.secure_ = secure;
            return made;
        }
    };

    /** A name that is a part of a path, too. */
    static void check_name(const std::string &name, const char *what)
    {
        auto odd = [](char one) { return one == '/' || (one >= 0 && one < ' ') || one == 0x7F; };
        if (name.size() > 247)
            throw error(code::too_large, std::string("the name of a ") + what + " has more than 247 bytes");
        if (name.empty() || std::any_of(name.begin(), name.end(), odd))
            throw error(code::invalid,
                        std::string("the name of a ") + what + " is empty, or has a / or a control character");
    }

    static void check(const std::string &name, const CConnectionContext &to)
    {
        check_name(name, "target");
        auto refuse = [&](code why, const char *what) { throw error(why, "target \"" + name + "\": " + what); };
        if (to.Host.empty())
            refuse(code::invalid, "Host is empty");
        if (to.Port == 0)
            refuse(code::invalid, "Port is 0");
        if (to.UserId.empty())
            refuse(code::invalid, "UserId is empty");
        if (to.EncrytionMethod != NoEncryption && to.EncrytionMethod != TLSv1)
            refuse(code::invalid, "EncrytionMethod is neither NoEncryption nor TLSv1");
        if (to.Zip)
            refuse(code::unsupported, "Zip is true, and nothing is compressed");
        if (to.V6 && to.Host.find_first_not_of("0123456789.") == std::string::npos)
            refuse(code::invalid, "V6 is true, and Host is an IPv4 address");
    }

    template <class... Values> static constexpr bool is_raw()
    {
        if constexpr (sizeof...(Values) == 2) {
            using pair = std::pair<std::decay_t<Values>...>;
            return std::is_convertible_v<typename pair::first_type, const std::uint8_t *>
                && std::is_integral_v<typename pair::second_type>;
        } else {
            return false;
        }
    }
    bool send_raw(std::uint16_t id, const std::uint8_t *data, std::uint64_t size)
    {
        if (size > UINT32_MAX)
            return told([&] { throw error(code::too_large, "a request of more than 4 GiB"); });
        return Send(id, data, static_cast<std::uint32_t>(size));
    }

    static error &last()
    {
        thread_local error kept(code::ok, "");
        return kept;
    }

    /** Does it; what is thrown is kept for LastError. */
    template <class Call> static bool told(Call call) noexcept
    {
        try {
            call();
            last() = error(code::ok, "");
            return true;
        } catch (const error &failure) {
            return keep(failure.value(), failure);
        } catch (const std::bad_alloc &) {
            return keep(code::no_space, error(code::no_space, "no memory is left"));
        } catch (const std::exception &failure) {
            return keep(code::panic, error(code::panic, failure.what()));
        }
    }

    static bool keep(code, const error &failure)
    {
        last() = failure;
        return false;
    }

    std::shared_ptr<opened> look() const
    {
        std::lock_guard<std::mutex> lock(mutex_);
        return opened_;
    }
    std::shared_ptr<opened> get() const
    {
        std::shared_ptr<opened> now = look();
        if (!now)
            throw error(code::closed, "the replication was not started");
        return now;
    }
    void put(std::shared_ptr<opened> next)
    {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            opened_.swap(next);
        }
        // Closed here, without the lock, unless another thread is inside a call.
    }

    ReplicationSetting setting_;
    mutable std::mutex mutex_;
    std::shared_ptr<opened> opened_;
};

} // namespace repliq::socketpro

#endif /* REPLIQ_SOCKETPRO_HPP */
