// Packing of values, as examples/README.md describes it.
#ifndef PACK_HPP
#define PACK_HPP

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace pack {

constexpr std::uint32_t null_length = 0xFFFFFFFF;

enum class type : std::uint8_t { null, boolean, i32, i64, f64, string };

// Values packed so far.
class packer {
public:
    packer &number(std::uint64_t value, std::size_t bytes)
    {
        for (std::size_t i = 0; i < bytes; i++)
            packed_ += static_cast<char>(value >> (8 * i));
        return *this;
    }
    packer &object(type value) { return number(static_cast<std::uint8_t>(value), 1); }
    packer &boolean(bool value) { return number(value, 1); }
    packer &length(std::uint32_t value) { return number(value, 4); }
    packer &i32(std::int32_t value) { return number(static_cast<std::uint32_t>(value), 4); }
    packer &i64(std::int64_t value) { return number(static_cast<std::uint64_t>(value), 8); }
    packer &f64(double value)
    {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return number(bits, 8);
    }
    packer &null() { return length(null_length); }
    packer &string(std::string_view text)
    {
        length(static_cast<std::uint32_t>(text.size()));
        packed_ += text;
        return *this;
    }

    // The structure that Echo carries.
    packer &eleven(std::int64_t time_us)
    {
        null().object(type::null).i64(time_us).f64(1234.567).boolean(true);
        string("Unicode").string("ASCII");
        object(type::boolean).boolean(true).object(type::string).string("test");
        length(2).string("Hello").string("world");
        return length(2).i32(1).i32(76890);
    }

    const std::string &bytes() const { return packed_; }

private:
    std::string packed_;
};

// Values still to be unpacked; throws std::invalid_argument where the payload is too short.
class unpacker {
public:
    explicit unpacker(std::string_view packed) : left_(packed) {}

    std::string_view take(std::size_t count)
    {
        if (count > left_.size())
            throw std::invalid_argument("the payload is too short");
        std::string_view bytes = left_.substr(0, count);
        left_.remove_prefix(count);
        return bytes;
    }
    std::uint64_t number(std::size_t bytes)
    {
        std::uint64_t value = 0;
        std::string_view taken = take(bytes);
        for (std::size_t i = 0; i < bytes; i++)
            value |= static_cast<std::uint64_t>(static_cast<unsigned char>(taken[i])) << (8 * i);
        return value;
    }
    bool boolean() { return number(1) != 0; }
    std::int32_t i32() { return static_cast<std::int32_t>(number(4)); }
    std::int64_t i64() { return static_cast<std::int64_t>(number(8)); }
    double f64()
    {
        std::uint64_t bits = number(8);
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    std::optional<std::string> string()
    {
        auto length = static_cast<std::uint32_t>(number(4));
        if (length == null_length)
            return std::nullopt;
        return std::string(take(length));
    }

    // What an object holds, as text.
    std::string object()
    {
        switch (static_cast<type>(number(1))) {
        case type::null: return "null";
        case type::boolean: return boolean() ? "true" : "false";
        case type::i32: return std::to_string(i32());
        case type::i64: return std::to_string(i64());
        case type::f64: return decimal(f64());
        case type::string: return string().value_or("");
        }
        throw std::invalid_argument("an object of an unknown type");
    }

    // What a server prints for an Echo, the same in every language.
    std::string eleven()
    {
        std::string text = "Echo " + string().value_or("null");
        text += " " + object();
        text += " " + std::to_string(i64());
        text += " " + decimal(f64());
        text += boolean() ? " true" : " false";
        text += " " + string().value_or("null");
        text += " " + string().value_or("null");
        text += " " + object();
        text += " " + object();
        text += " [";
        for (std::uint64_t count = number(4), i = 0; i < count; i++)
            text += (i ? " " : "") + string().value_or("null");
        text += "] [";
        for (std::uint64_t count = number(4), i = 0; i < count; i++)
            text += (i ? " " : "") + std::to_string(i32());
        return text + "]";
    }

    void end() const
    {
        if (!left_.empty())
            throw std::invalid_argument(std::to_string(left_.size()) + " bytes too many");
    }

private:
    static std::string decimal(double value)
    {
        char text[64];
        std::snprintf(text, sizeof text, "%.3f", value);
        return text;
    }

    std::string_view left_;
};

} // namespace pack

#endif
