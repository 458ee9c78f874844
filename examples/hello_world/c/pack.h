/* Packing of values, as docs/SOCKETPRO.md describes it for CScopeUQueue. */
#ifndef PACK_H
#define PACK_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PACK_NULL 0xFFFFFFFFu

/* The types an object can have. */
enum { PACK_OBJECT_NULL, PACK_OBJECT_BOOL, PACK_OBJECT_I32, PACK_OBJECT_I64, PACK_OBJECT_F64, PACK_OBJECT_STRING };

/* Values packed so far; `failed` once something did not fit. */
typedef struct packer {
    unsigned char bytes[1024];
    size_t len;
    int failed;
} packer;

static inline void pack_bytes(packer *p, const void *bytes, size_t len)
{
    if (len > sizeof p->bytes - p->len) {
        p->failed = 1;
        return;
    }
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static inline void pack_number(packer *p, uint64_t value, size_t len)
{
    unsigned char bytes[8];
    size_t i;
    for (i = 0; i < len; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    pack_bytes(p, bytes, len);
}

static inline void pack_bool(packer *p, int value) { pack_number(p, value ? 1 : 0, 1); }
static inline void pack_length(packer *p, uint32_t value) { pack_number(p, value, 4); }
static inline void pack_i32(packer *p, int32_t value) { pack_number(p, (uint32_t)value, 4); }
static inline void pack_i64(packer *p, int64_t value) { pack_number(p, (uint64_t)value, 8); }

static inline void pack_f64(packer *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pack_number(p, bits, 8);
}

/* NULL is the null string. */
static inline void pack_string(packer *p, const char *text)
{
    if (text == NULL) {
        pack_length(p, PACK_NULL);
        return;
    }
    pack_length(p, (uint32_t)strlen(text));
    pack_bytes(p, text, strlen(text));
}

/* The structure that Echo carries. */
static inline void pack_eleven(packer *p, int64_t time_us)
{
    pack_string(p, NULL);
    pack_number(p, PACK_OBJECT_NULL, 1);
    pack_i64(p, time_us);
    pack_f64(p, 1234.567);
    pack_bool(p, 1);
    pack_string(p, "Unicode");
    pack_string(p, "ASCII");
    pack_number(p, PACK_OBJECT_BOOL, 1);
    pack_bool(p, 1);
    pack_number(p, PACK_OBJECT_STRING, 1);
    pack_string(p, "test");
    pack_length(p, 2);
    pack_string(p, "Hello");
    pack_string(p, "world");
    pack_length(p, 2);
    pack_i32(p, 1);
    pack_i32(p, 76890);
}

/* Values still to be unpacked; `failed` once something was missing. */
typedef struct unpacker {
    const unsigned char *at;
    size_t left;
    int failed;
} unpacker;

static inline uint64_t unpack_number(unpacker *u, size_t len)
{
    uint64_t value = 0;
    size_t i;
    if (len > u->left) {
        u->failed = 1;
        u->left = 0;
        return 0;
    }
    for (i = 0; i < len; i++)
        value |= (uint64_t)u->at[i] << (8 * i);
    u->at += len;
    u->left -= len;
    return value;
}

static inline int unpack_bool(unpacker *u)
{
    uint64_t value = unpack_number(u, 1);
    if (value > 1)
        u->failed = 1;
    return value == 1;
}

static inline int32_t unpack_i32(unpacker *u) { return (int32_t)(uint32_t)unpack_number(u, 4); }
static inline int64_t unpack_i64(unpacker *u) { return (int64_t)unpack_number(u, 8); }

static inline double unpack_f64(unpacker *u)
{
    uint64_t bits = unpack_number(u, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Copies a string; answers 0 for the null string, which is copied as "null". */
static inline int unpack_string(unpacker *u, char *text, size_t size)
{
    uint32_t len = (uint32_t)unpack_number(u, 4);
    if (len == PACK_NULL || len > u->left || len >= size) {
        if (len != PACK_NULL)
            u->failed = 1;
        snprintf(text, size, "null");
        return 0;
    }
    memcpy(text, u->at, len);
    text[len] = 0;
    u->at += len;
    u->left -= len;
    return 1;
}

/* Prints what an object holds. */
static inline void unpack_object(unpacker *u, char *text, size_t size)
{
    switch (unpack_number(u, 1)) {
    case PACK_OBJECT_NULL: snprintf(text, size, "null"); return;
    case PACK_OBJECT_BOOL: snprintf(text, size, "%s", unpack_bool(u) ? "true" : "false"); return;
    case PACK_OBJECT_I32: snprintf(text, size, "%ld", (long)unpack_i32(u)); return;
    case PACK_OBJECT_I64: snprintf(text, size, "%lld", (long long)unpack_i64(u)); return;
    case PACK_OBJECT_F64: snprintf(text, size, "%.3f", unpack_f64(u)); return;
    case PACK_OBJECT_STRING: unpack_string(u, text, size); return;
    default: u->failed = 1; text[0] = 0;
    }
}

/* Prints what a server prints for an Echo, the same in every language. */
static inline void unpack_eleven(unpacker *u, char *text, size_t size)
{
    char a[64], b[64], c[64], d[64], e[64], f[64], list[512] = "", item[64];
    long long time_us;
    double number;
    int flag;
    uint32_t count, i;
    unpack_string(u, a, sizeof a);
    unpack_object(u, b, sizeof b);
    time_us = (long long)unpack_i64(u);
    number = unpack_f64(u);
    flag = unpack_bool(u);
    unpack_string(u, c, sizeof c);
    unpack_string(u, d, sizeof d);
    unpack_object(u, e, sizeof e);
    unpack_object(u, f, sizeof f);
    strcat(list, "[");
    count = (uint32_t)unpack_number(u, 4);
    for (i = 0; i < count && i < 4 && !u->failed; i++) {
        unpack_string(u, item, sizeof item);
        strcat(strcat(list, i ? " " : ""), item);
    }
    strcat(list, "] [");
    count = (uint32_t)unpack_number(u, 4);
    for (i = 0; i < count && i < 4 && !u->failed; i++) {
        snprintf(item, sizeof item, "%s%ld", i ? " " : "", (long)unpack_i32(u));
        strcat(list, item);
    }
    strcat(list, "]");
    snprintf(text, size, "Echo %s %s %lld %.3f %s %s %s %s %s %s", a, b, time_us, number, flag ? "true" : "false",
             c, d, e, f, list);
}

#endif
