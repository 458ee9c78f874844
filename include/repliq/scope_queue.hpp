/**
 * CScopeUQueue: values packed one after the other, the same bytes in every language.
 *
 *     CScopeUQueue packed;
 *     packed << "David" << "Young";
 *     std::string first, last;
 *     packed >> first >> last;
 *
 * docs/SOCKETPRO.md says what the bytes are. Values that cannot be packed or are not there throw repliq::error with
 * code::invalid, and nothing was packed or taken.
 */
#ifndef REPLIQ_SCOPE_QUEUE_HPP
#define REPLIQ_SCOPE_QUEUE_HPP

#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <repliq.hpp>

namespace repliq::socketpro {

/** A point in time, in microseconds since 1970-01-01 UTC. */
using CDate = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/** A value that says of which type it is; null, bool, i32, i64, f64 or string. */
using CObject = std::variant<std::monostate, bool, std::int32_t, std::int64_t, double, std::string>;

/** Bytes that are no text. */
using CBytes = std::vector<std::uint8_t>;

namespace detail {

[[noreturn]] inline void cannot_load(const char *why)
{
    throw error(code::invalid, std::string("cannot load a value: ") + why);
}

/** Whether these bytes are UTF-8: no surrogates, nothing overlong, nothing above 0x10FFFF. */
inline bool is_utf8(std::string_view text) noexcept
{
    static constexpr std::uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (std::size_t at = 0; at < text.size();) {
        auto byte = static_cast<unsigned char>(text[at++]);
        if (byte < 0x80)
            continue;
        std::size_t more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
        if (byte < 0xC0 || byte > 0xF7 || text.size() - at < more)
            return false;
        std::uint32_t point = byte & (0x3Fu >> more);
        for (std::size_t i = 0; i < more; ++i) {
            auto next = static_cast<unsigned char>(text[at++]);
            if ((next & 0xC0u) != 0x80)
                return false;
            point = point << 6 | (next & 0x3Fu);
        }
        if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            return false;
    }
    return true;
}

template <class T> struct is_optional : std::false_type {};
template <class T> struct is_optional<std::optional<T>> : std::true_type {};
template <class T> struct is_vector : std::false_type {};
template <class T> struct is_vector<std::vector<T>> : std::true_type {};
template <class T> struct is_time : std::false_type {};
template <class D> struct is_time<std::chrono::time_point<std::chrono::system_clock, D>> : std::true_type {};

/** A type of which nothing can be made. */
template <class T> inline constexpr bool no_type = false;

} // namespace detail

/** Packs values for a request and reads them from one. A value: a copy has bytes of its own. */
class CScopeUQueue {
public:
    template <class T> using maybe = std::optional<T>;

    CScopeUQueue() = default;
    /** To load from a copy of these bytes. */
    explicit CScopeUQueue(std::string_view packed) : bytes_(packed) {}

    /** The bytes that are not loaded yet: valid until the next save, load or SetSize. */
    std::string_view GetBuffer() const noexcept { return std::string_view(bytes_).substr(at_); }
    std::size_t GetSize() const noexcept { return bytes_.size() - at_; }
    /** Empties it; 0 is the only size there is. */
    void SetSize(std::size_t size)
    {
        if (size != 0)
            throw error(code::invalid, "a CScopeUQueue can only be emptied: SetSize(0)");
        bytes_.clear();
        at_ = 0;
    }

    /* ---- saving */

    CScopeUQueue &SaveBool(bool value) { return number(value ? 1 : 0, 1); }
    CScopeUQueue &SaveInt(std::int32_t value) { return number(static_cast<std::uint32_t>(value), 4); }
    CScopeUQueue &SaveLong(std::int64_t value) { return number(static_cast<std::uint64_t>(value), 8); }
    CScopeUQueue &SaveDouble(double value)
    {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return number(bits, 8);
    }
    /** A string, or null. */
    CScopeUQueue &SaveString(maybe<std::string_view> value)
    {
        if (value && !detail::is_utf8(*value))
            throw error(code::invalid, "cannot save a string that is not UTF-8");
        return raw(value);
    }
    CScopeUQueue &SaveString(const char *value)
    {
        return SaveString(value != nullptr ? maybe<std::string_view>(value) : std::nullopt);
    }
    /** Bytes, or null. */
    CScopeUQueue &SaveBytes(const maybe<CBytes> &value)
    {
        if (!value)
            return length(null_length);
        return raw(std::string_view(reinterpret_cast<const char *>(value->data()), value->size()));
    }
    template <class Duration>
    CScopeUQueue &SaveDate(std::chrono::time_point<std::chrono::system_clock, Duration> value)
    {
        return SaveLong(std::chrono::floor<std::chrono::microseconds>(value).time_since_epoch().count());
    }
    CScopeUQueue &SaveObject(const CObject &value)
    {
        if (const std::string *text = std::get_if<std::string>(&value); text != nullptr && !detail::is_utf8(*text))
            throw error(code::invalid, "cannot save a string that is not UTF-8");
        number(value.index(), 1);
        switch (value.index()) {
        case 1: return SaveBool(std::get<1>(value));
        case 2: return SaveInt(std::get<2>(value));
        case 3: return SaveLong(std::get<3>(value));
        case 4: return SaveDouble(std::get<4>(value));
        case 5: return SaveString(std::get<5>(value));
        default: return *this;
        }
    }
    CScopeUQueue &SaveBools(const maybe<std::vector<bool>> &values) { return array(values); }
    CScopeUQueue &SaveInts(const maybe<std::vector<std::int32_t>> &values) { return array(values); }
    CScopeUQueue &SaveLongs(const maybe<std::vector<std::int64_t>> &values) { return array(values); }
    CScopeUQueue &SaveDoubles(const maybe<std::vector<double>> &values) { return array(values); }
    CScopeUQueue &SaveStrings(const maybe<std::vector<maybe<std::string>>> &values) { return array(values); }

    /** A value of any of the types above. An integer is an i32 or an i64, as wide as its type says. */
    template <class T> CScopeUQueue &Save(const T &value)
    {
        if constexpr (std::is_same_v<T, bool>) {
            return SaveBool(value);
        } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T> && sizeof(T) == 4) {
            return SaveInt(static_cast<std::int32_t>(value));
        } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T> && sizeof(T) == 8) {
            return SaveLong(static_cast<std::int64_t>(value));
        } else if constexpr (std::is_same_v<T, double>) {
            return SaveDouble(value);
        } else if constexpr (std::is_same_v<T, CObject> || std::is_same_v<T, std::monostate>) {
            return SaveObject(value);
        } else if constexpr (detail::is_time<T>::value) {
            return SaveDate(value);
        } else if constexpr (std::is_same_v<T, CBytes>) {
            return SaveBytes(value);
        } else if constexpr (detail::is_vector<T>::value) {
            return array(maybe<T>(value));
        } else if constexpr (std::is_convertible_v<const T &, const char *>) {
            return SaveString(static_cast<const char *>(value));
        } else if constexpr (std::is_convertible_v<const T &, std::string_view>) {
            return SaveString(maybe<std::string_view>(static_cast<std::string_view>(value)));
        } else if constexpr (detail::is_optional<T>::value) {
            return value ? Save(*value) : length(null_of<typename T::value_type>());
        } else {
            static_assert(detail::no_type<T>, "no type of CScopeUQueue: cast it to one of docs/SOCKETPRO.md");
        }
    }
    template <class T> CScopeUQueue &operator<<(const T &value) { return Save(value); }

    /* ---- loading */

    bool LoadBool()
    {
        return whole([&] { return boolean(); });
    }
    std::int32_t LoadInt() { return static_cast<std::int32_t>(number(4)); }
    std::int64_t LoadLong() { return static_cast<std::int64_t>(number(8)); }
    double LoadDouble()
    {
        std::uint64_t bits = number(8);
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    maybe<std::string> LoadString()
    {
        return whole([&] { return text(); });
    }
    maybe<CBytes> LoadBytes()
    {
        return whole([&]() -> maybe<CBytes> {
            maybe<std::string_view> taken = raw();
            return taken ? maybe<CBytes>(CBytes(taken->begin(), taken->end())) : std::nullopt;
        });
    }
    CDate LoadDate() { return CDate(std::chrono::microseconds(LoadLong())); }
    CObject LoadObject()
    {
        return whole([&]() -> CObject {
            switch (number(1)) {
            case 0: return std::monostate();
            case 1: return boolean();
            case 2: return LoadInt();
            case 3: return LoadLong();
            case 4: return LoadDouble();
            case 5:
                if (maybe<std::string> value = text())
                    return *std::move(value);
                detail::cannot_load("an object of the type string holds null");
            default: detail::cannot_load("an object of an unknown type");
            }
        });
    }
    maybe<std::vector<bool>> LoadBools() { return array<bool>(); }
    maybe<std::vector<std::int32_t>> LoadInts() { return array<std::int32_t>(); }
    maybe<std::vector<std::int64_t>> LoadLongs() { return array<std::int64_t>(); }
    maybe<std::vector<double>> LoadDoubles() { return array<double>(); }
    maybe<std::vector<maybe<std::string>>> LoadStrings() { return array<maybe<std::string>>(); }

    /** A value of the type asked for. Null for a type that cannot be null fails. */
    template <class T> CScopeUQueue &Load(T &value)
    {
        value = whole([&] { return load<T>(); });
        return *this;
    }
    template <class T> CScopeUQueue &operator>>(T &value) { return Load(value); }

private:
    static constexpr std::uint32_t null_length = 0xFFFFFFFF;

    template <class T> static constexpr std::uint32_t null_of()
    {
        static_assert(detail::is_vector<T>::value || std::is_convertible_v<const T &, std::string_view>,
                      "only strings, bytes and arrays can be null");
        return null_length;
    }

    CScopeUQueue &number(std::uint64_t value, std::size_t size)
    {
        for (std::size_t i = 0; i < size; ++i)
            bytes_ += static_cast<char>(value >> (8 * i));
        return *this;
    }
    CScopeUQueue &length(std::uint32_t value) { return number(value, 4); }
    CScopeUQueue &length_of(std::size_t size)
    {
        if (size >= null_length)
            throw error(code::too_large, "cannot save " + std::to_string(size) + " bytes or elements");
        return length(static_cast<std::uint32_t>(size));
    }
    CScopeUQueue &raw(maybe<std::string_view> value)
    {
        if (!value)
            return length(null_length);
        length_of(value->size());
        bytes_ += *value;
        return *this;
    }
    template <class T> CScopeUQueue &array(const maybe<std::vector<T>> &values)
    {
        if (!values)
            return length(null_length);
        CScopeUQueue made;
        made.length_of(values->size());
        for (const auto &one : *values)
            made.Save(static_cast<const T &>(one));
        bytes_ += made.bytes_;
        return *this;
    }

    /** Takes a value as a whole, or nothing. */
    template <class Take> std::invoke_result_t<Take &> whole(Take take)
    {
        std::size_t before = at_; // where the value begins
        try {
            return take();
        } catch (...) {
            at_ = before;
            throw;
        }
    }
    std::string_view take(std::size_t size)
    {
        if (size > GetSize())
            detail::cannot_load("too few bytes are left");
        std::string_view taken = GetBuffer().substr(0, size);
        at_ += size;
        return taken;
    }
    std::uint64_t number(std::size_t size)
    {
        std::uint64_t value = 0;
        std::string_view taken = take(size);
        for (std::size_t i = 0; i < size; ++i)
            value |= static_cast<std::uint64_t>(static_cast<unsigned char>(taken[i])) << (8 * i);
        return value;
    }
    bool boolean()
    {
        std::uint64_t value = number(1);
        if (value > 1)
            detail::cannot_load("a bool is neither 0 nor 1");
        return value == 1;
    }
    maybe<std::string_view> raw()
    {
        auto size = static_cast<std::uint32_t>(number(4));
        return size == null_length ? std::nullopt : maybe<std::string_view>(take(size));
    }
    maybe<std::string> text()
    {
        maybe<std::string_view> taken = raw();
        if (taken && !detail::is_utf8(*taken))
            detail::cannot_load("a string is not UTF-8");
        return taken ? maybe<std::string>(std::string(*taken)) : std::nullopt;
    }
    template <class T> maybe<std::vector<T>> array()
    {
        return whole([&]() -> maybe<std::vector<T>> {
            auto count = static_cast<std::uint32_t>(number(4));
            if (count == null_length)
                return std::nullopt;
            // Not reserved: the number may be anything, and the elements may not be there.
            std::vector<T> values;
            for (std::uint32_t i = 0; i < count; ++i)
                values.push_back(load<T>());
            return values;
        });
    }
    template <class T> T load()
    {
        if constexpr (std::is_same_v<T, bool>) {
            return boolean();
        } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T> && (sizeof(T) == 4 || sizeof(T) == 8)) {
            return static_cast<T>(sizeof(T) == 4 ? LoadInt() : LoadLong());
        } else if constexpr (std::is_same_v<T, double>) {
            return LoadDouble();
        } else if constexpr (std::is_same_v<T, CDate>) {
            return LoadDate();
        } else if constexpr (std::is_same_v<T, CObject>) {
            return LoadObject();
        } else if constexpr (std::is_same_v<T, maybe<std::string>>) {
            return LoadString();
        } else if constexpr (std::is_same_v<T, maybe<CBytes>>) {
            return LoadBytes();
        } else if constexpr (detail::is_optional<T>::value && detail::is_vector<typename T::value_type>::value) {
            return array<typename T::value_type::value_type>();
        } else if constexpr (std::is_same_v<T, std::string> || detail::is_vector<T>::value) {
            maybe<T> value = load<maybe<T>>();
            if (!value)
                detail::cannot_load("it is null, and the type that was asked for cannot be");
            return *std::move(value);
        } else {
            static_assert(detail::no_type<T>, "no type of CScopeUQueue: see docs/SOCKETPRO.md");
        }
    }

    std::string bytes_;
    std::size_t at_ = 0;
};

} // namespace repliq::socketpro

#endif /* REPLIQ_SCOPE_QUEUE_HPP */
