// The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.
//
// Usage: replication [DIRECTORY [ADDRESS ADDRESS]]
//
// The servers are hello_world of any language. Neither has to run when this starts: what is sent is on this
// disk, and goes out as soon as a server is there.
#include <repliq/socketpro.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "../../hello_world/cpp/my_struct.hpp"

using namespace repliq::socketpro;

enum : std::uint16_t { idSayHello = 0x2002, idSleep = 0x2003, idEcho = 0x2004 };

// Where a server is, from HOST:PORT.
static CConnectionContext at(const std::string &address, const char *user, const char *password)
{
    std::string::size_type colon = address.rfind(':');
    auto port = static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)));
    return {address.substr(0, colon), port, user, password};
}

// ANCHOR: run
// The tutorial: every answer is looked at, for false means that nothing was stored.
static bool run(CReplication &rep, const CMapQNameConn &targets)
{
    if (!rep.Start(targets, "hw_root_queue_name"))
        return false;

    // ANCHOR: job
    // A job: both requests or neither.
    CScopeUQueue echo;
    CMyStruct().SaveTo(echo);
    if (!rep.StartJob() || !rep.Send(idSayHello, "David", "Young") || !rep.Send(idEcho, echo) || !rep.EndJob())
        return false;
    // ANCHOR_END: job

    // Outside a job each request is a transaction of its own.
    if (!rep.Send(idSayHello, "Jack", "Smith") || !rep.Send(idSleep, std::int32_t(5)))
        return false;

    // A job that is given up leaves nothing, here or at any server.
    return rep.StartJob() && rep.Send(idSayHello, "Nobody", "Here") && rep.AbortJob();
}
// ANCHOR_END: run

int main(int argc, char **argv)
try {
    // ANCHOR: start
    QueueConfigure::SetMessageQueuePassword("MyQPassword");
    QueueConfigure::SetWorkDirectory(argc > 1 ? argv[1] : "sp_test/");
    CReplication rep{ReplicationSetting{}};
    CMapQNameConn targets{
        {"Tolocal", at(argc > 2 ? argv[2] : "127.0.0.1:20901", "replication", "p4localhost")},
        {"ToLinux", at(argc > 3 ? argv[3] : "127.0.0.1:20902", "remote_rep", "PassOne")},
    };
    // ANCHOR_END: start
    if (!run(rep, targets)) {
        std::cerr << "replication: " << rep.LastError().what() << "\n";
        return 1;
    }

    // Everything is on this disk now; this waits until it is on the servers' disks.
    auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (rep.GetSourceQueue().GetMessageCount() > 0) {
        if (std::chrono::steady_clock::now() > end) {
            for (const CClientQueue &target : rep.GetTargetQueues())
                std::cerr << "replication: " << target.GetQueueName() << " lacks " << target.GetMessageCount()
                          << " requests: " << target.GetLastError() << "\n";
            return 1;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::cout << "everybody has it" << std::endl;
} catch (const std::exception &error) {
    std::cerr << "replication: " << error.what() << "\n";
    return 1;
}
