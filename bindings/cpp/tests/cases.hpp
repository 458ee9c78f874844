/*
 * The frame of the C++ tests: a program with named cases, each in an empty folder of its own.
 *
 * CMakeLists.txt makes one test of each line that begins with TEST(
 */
#ifndef CASES_HPP
#define CASES_HPP

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include <repliq.hpp>

using namespace std::chrono_literals;

namespace {

std::map<std::string, void (*)(const std::string &)> cases;

#define TEST(name)                                                                                           \
    void name(const std::string &folder);                                                                    \
    [[maybe_unused]] const bool name##_is_known = cases.emplace(#name, name).second;                          \
    void name([[maybe_unused]] const std::string &folder)

#define CHECK(condition)                                                                                     \
    ((condition) ? void() : (std::cerr << __LINE__ << ": " #condition " does not hold\n", std::exit(1)))

/** The error that a call must throw. */
template <class Call> repliq::error thrown(Call call)
{
    try {
        call();
    } catch (const repliq::error &error) {
        return error;
    }
    std::cerr << "nothing was thrown\n";
    std::exit(1);
}

template <class Condition> bool soon(Condition condition)
{
    for (int i = 0; i < 1000 && !condition(); ++i)
        std::this_thread::sleep_for(10ms);
    return condition();
}

} // namespace

int main(int argc, char **argv)
{
    auto found = argc == 2 ? cases.find(argv[1]) : cases.end();
    if (found == cases.end()) {
        std::cerr << "usage: " << argv[0] << " CASE, one of\n";
        for (const auto &one : cases)
            std::cerr << "    " << one.first << "\n";
        return 2;
    }
    auto folder = std::filesystem::temp_directory_path() / ("repliq-" + found->first);
    std::filesystem::remove_all(folder);
    try {
        found->second(folder.string());
    } catch (const std::exception &error) {
        std::cerr << "thrown: " << error.what() << "\n";
        return 1;
    }
    std::filesystem::remove_all(folder);
    return 0;
}

#endif
