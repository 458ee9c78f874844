// The replication tutorial: one root queue, two servers, jobs that arrive whole or not at all.
//
// Usage: replication [DIRECTORY [URL URL]]
//
// The servers are hello_world of any language. Neither has to run when this starts: what is sent is on this
// disk, and goes out as soon as a server is there.
#include <repliq.hpp>

#include <chrono>
#include <iostream>
#include <string>

#include "../../hello_world/cpp/pack.hpp"

enum : std::uint16_t { say_hello = 0x2002, sleep_ms = 0x2003, echo = 0x2004 };

static std::string hello(const char *first, const char *last)
{
    return pack::packer().string(first).string(last).bytes();
}

int main(int argc, char **argv)
try {
    std::string directory = argc > 1 ? argv[1] : "sp_test";
    std::string local = argc > 2 ? argv[2] : "repliq://replication@127.0.0.1:20901";
    std::string linux_url = argc > 3 ? argv[3] : "repliq://remote_rep@127.0.0.1:20902";

    repliq::store_options options;
    options.password = "MyPassword";
    repliq::store store(directory, options);
    repliq::replication replication(store, store.queue("hw_root_queue_name"));
    repliq::target_options target;
    target.plain = true;
    target.reconnect_max = std::chrono::seconds(1);
    target.password = "p4localhost";
    replication.add("Tolocal", local, target);
    target.password = "PassOne";
    replication.add("ToLinux", linux_url, target);

    // A job: both requests or neither.
    repliq::job greeting = replication.job();
    replication.send(say_hello, hello("David", "Young"));
    replication.send(echo, pack::packer().eleven(1700000000000000).bytes());
    greeting.end();

    // Outside a job each request is a transaction of its own.
    replication.send(say_hello, hello("Jack", "Smith"));
    replication.send(sleep_ms, pack::packer().i32(5).bytes());

    // A job that is given up leaves nothing, here or at any server.
    {
        repliq::job forgotten = replication.job();
        replication.send(say_hello, hello("Nobody", "Here"));
    }

    // Everything is on this disk now; this waits until it is on the servers' disks.
    replication.stop(std::chrono::minutes(1));
    std::cout << "everybody has it" << std::endl;
    replication.close();
    store.close();
} catch (const std::exception &error) {
    std::cerr << "replication: " << error.what() << "\n";
    return 1;
}
