// Tutorial one: a server that greets, sleeps and echoes.
//
// Usage: hello_world [DIRECTORY [ADDRESS]]
//
// Requests arrive from any sender of the tutorial in the queue hw_root_queue_name, or Tolocal, and each is worked
// on once it is durable here. The answer goes into the queue "replies" in the same transaction that acknowledges the
// request, so it is there exactly once; what is printed may be printed twice when the server is killed in between.
#include <repliq.hpp>
#include <repliq/scope_queue.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "my_struct.hpp"

enum : std::uint16_t { idSayHello = 0x2002, idSleep = 0x2003, idEcho = 0x2004 };

// Does what a request asks; throws std::invalid_argument, or what loading throws, where it makes no sense.
static std::string work(const repliq::received &request)
{
    repliq::socketpro::CScopeUQueue arguments(request.payload());
    std::string reply;
    if (request.kind() == idSayHello) {
        std::string first = arguments.LoadString().value_or(""), last = arguments.LoadString().value_or("");
        if (first.empty())
            throw std::invalid_argument("a greeting without a first name");
        reply = "Hello " + first + " " + last;
    } else if (request.kind() == idSleep) {
        std::int32_t ms = arguments.LoadInt();
        if (ms < 0)
            throw std::invalid_argument("a negative sleep");
        std::this_thread::sleep_for(std::chrono::milliseconds(ms));
        reply = "Sleep " + std::to_string(ms);
    } else if (request.kind() == idEcho) {
        CMyStruct all;
        all.LoadFrom(arguments);
        reply = all.Text();
    } else {
        throw std::invalid_argument("an unknown request");
    }
    if (arguments.GetSize() > 0)
        throw std::invalid_argument("the payload is too long");
    return reply;
}

// ANCHOR: listen
// Works on the requests of one queue, on a thread of its own.
static repliq::listener listen(repliq::store &store, const std::string &queue)
{
    repliq::queue replies = store.queue("replies");
    // What throws three times goes to the queue "errors", and those behind it go on.
    repliq::listener_options errors;
    errors.policy = REPLIQ_POLICY_DEAD_LETTER;
    errors.dead_letter_after = 3;
    errors.dead_letter_queue = "errors";
    errors.retry = std::chrono::milliseconds(10);
    return store.consumer("hello_world", store.queue(queue))
        .listen([replies](repliq::session &in, const std::vector<repliq::received> &requests) {
            for (const repliq::received &request : requests) {
                std::string reply = work(request);
                std::cout << reply << std::endl;
                in.put(replies, reply);
            }
        }, errors);
}
// ANCHOR_END: listen

int main(int argc, char **argv)
try {
    std::string directory = argc > 1 ? argv[1] : "hello_world_store";
    std::string address = argc > 2 ? argv[2] : "127.0.0.1:20901";

    repliq::store store(directory);
    repliq::listener from_roots = listen(store, "hw_root_queue_name");
    repliq::listener from_singles = listen(store, "Tolocal");
    // ANCHOR: serve
    repliq::server_options options;
    options.listen = {address};
    options.plain = true;
    options.users = {
        {"replication", "p4localhost", "replicate", "hw_root_queue_name,Tolocal"},
        {"remote_rep", "PassOne", "replicate", "hw_root_queue_name,Tolocal"},
    };
    repliq::server server(store, options);
    // ANCHOR_END: serve
    std::cout << "listening on " << address << ", press Enter to end" << std::endl;
    // The end of the input ends the server, too.
    std::cin.get();
    server.close();
    from_roots.close();
    from_singles.close();
    store.close();
} catch (const std::exception &error) {
    std::cerr << "hello_world: " << error.what() << "\n";
    return 1;
}
