// The structure that Echo carries: eleven fields, in this order.
#ifndef MY_STRUCT_HPP
#define MY_STRUCT_HPP

#include <repliq/scope_queue.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <variant>
#include <vector>

struct CMyStruct {
    std::optional<std::string> NullString;
    repliq::socketpro::CObject NullObject;
    repliq::socketpro::CDate ADateTime{std::chrono::microseconds(1700000000000000)};
    double ADouble = 1234.567;
    bool ABool = true;
    std::optional<std::string> UnicodeString = "Unicode";
    std::optional<std::string> AsciiString = "ASCII";
    repliq::socketpro::CObject ObjBool = true;
    repliq::socketpro::CObject ObjString = std::string("test");
    std::vector<std::optional<std::string>> ObjArrString = {"Hello", "world"};
    std::vector<std::int32_t> ObjArrInt = {1, 76890};

    void SaveTo(repliq::socketpro::CScopeUQueue &to) const
    {
        to << NullString << NullObject << ADateTime << ADouble << ABool << UnicodeString << AsciiString << ObjBool
           << ObjString << ObjArrString << ObjArrInt;
    }

    void LoadFrom(repliq::socketpro::CScopeUQueue &from)
    {
        from >> NullString >> NullObject >> ADateTime >> ADouble >> ABool >> UnicodeString >> AsciiString >> ObjBool
            >> ObjString >> ObjArrString >> ObjArrInt;
    }

    // What a server prints for an Echo, the same in every language.
    std::string Text() const
    {
        std::string text = "Echo " + NullString.value_or("null") + " " + Text(NullObject) + " "
            + std::to_string(ADateTime.time_since_epoch().count()) + " " + Text(ADouble) + " " + Text(ABool) + " "
            + UnicodeString.value_or("null") + " " + AsciiString.value_or("null") + " " + Text(ObjBool) + " "
            + Text(ObjString) + " [";
        const char *between = "";
        for (const std::optional<std::string> &one : ObjArrString) {
            text += between + one.value_or("null");
            between = " ";
        }
        text += "] [";
        between = "";
        for (std::int32_t one : ObjArrInt) {
            text += between + std::to_string(one);
            between = " ";
        }
        return text + "]";
    }

private:
    static std::string Text(std::monostate) { return "null"; }
    static std::string Text(bool value) { return value ? "true" : "false"; }
    static std::string Text(std::int32_t value) { return std::to_string(value); }
    static std::string Text(std::int64_t value) { return std::to_string(value); }
    static std::string Text(const std::string &value) { return value; }
    static std::string Text(double value)
    {
        char text[400];
        std::snprintf(text, sizeof text, "%.3f", value);
        return text;
    }
    static std::string Text(const repliq::socketpro::CObject &object)
    {
        return std::visit([](const auto &value) { return Text(value); }, object);
    }
};

#endif
