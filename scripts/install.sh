#!/usr/bin/env bash
# Installs the library for C and C++ (header, shared and static library, pkg-config file, CMake package), and the
# command with its manual pages, shell completions, systemd unit and configuration.
#
# Usage: [PREFIX=/usr/local] [DESTDIR=] [SYSCONFDIR=] [PROFILE=release] scripts/install.sh
#
# The configuration goes to /etc where PREFIX is /usr or /usr/local, to PREFIX/etc otherwise, unless SYSCONFDIR says
# where; one that is there stays. Builds what is missing. FROM=DIR takes the libraries, and the command where it is
# there, too, from DIR instead, as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
profile=${PROFILE:-release}
case $prefix in
    /*) ;;
    *) echo "install: PREFIX is $prefix, not an absolute path" >&2; exit 1 ;;
esac
from=${FROM:-}
if [ -z "$from" ]; then
    cargo build --locked --lib --bins --profile "$profile"
    from=${CARGO_TARGET_DIR:-target}/${profile/%dev/debug}
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
abi=$(sed -n 's/^#define REPLIQ_ABI_VERSION //p' include/repliq.h)
lib=${DESTDIR:-}$prefix/lib

install -d "$lib/pkgconfig" "$lib/cmake/repliq" "${DESTDIR:-}$prefix/include/repliq"
install -m 644 include/repliq.h include/repliq.hpp "${DESTDIR:-}$prefix/include"
install -m 644 include/repliq/*.hpp "${DESTDIR:-}$prefix/include/repliq"
install -m 755 "$from/librepliq.so" "$lib/librepliq.so.$version"
ln -sf "librepliq.so.$version" "$lib/librepliq.so.$abi"
ln -sf "librepliq.so.$abi" "$lib/librepliq.so"
install -m 644 "$from/librepliq.a" "$lib/librepliq.a"

cat > "$lib/pkgconfig/repliq.pc" << PC
prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: repliq
Description: Persistent transactional message queues that replicate
Version: $version
Libs: -L\${libdir} -lrepliq
Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
PC

cat > "$lib/cmake/repliq/repliq-config.cmake" << 'CMAKE'
# repliq::repliq is the shared library, repliq::static the static one.
get_filename_component(_repliq_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
if(NOT TARGET repliq::repliq)
    add_library(repliq::repliq SHARED IMPORTED)
    set_target_properties(repliq::repliq PROPERTIES
        IMPORTED_LOCATION "${_repliq_prefix}/lib/librepliq.so"
        INTERFACE_INCLUDE_DIRECTORIES "${_repliq_prefix}/include"
        INTERFACE_LINK_LIBRARIES Threads::Threads)
    add_library(repliq::static STATIC IMPORTED)
    set_target_properties(repliq::static PROPERTIES
        IMPORTED_LOCATION "${_repliq_prefix}/lib/librepliq.a"
        INTERFACE_INCLUDE_DIRECTORIES "${_repliq_prefix}/include"
        INTERFACE_LINK_LIBRARIES "Threads::Threads;gcc_s;rt;m;dl")
endif()
unset(_repliq_prefix)
CMAKE

# Until 1.0 a minor number may change the API, so only the same one fits.
cat > "$lib/cmake/repliq/repliq-config-version.cmake" << CMAKE
set(PACKAGE_VERSION "$version")
string(REGEX MATCH "^[0-9]+\\\\.[0-9]+" _repliq_have "\${PACKAGE_VERSION}")
string(REGEX MATCH "^[0-9]+\\\\.[0-9]+" _repliq_asked "\${PACKAGE_FIND_VERSION}")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION
        OR (_repliq_asked AND NOT _repliq_asked STREQUAL _repliq_have))
    set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
    if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
        set(PACKAGE_VERSION_EXACT TRUE)
    endif()
endif()
CMAKE

if [ -x "$from/repliq" ]; then
    case $prefix in
        /usr | /usr/local) sysconfdir=${SYSCONFDIR:-/etc} ;;
        *) sysconfdir=${SYSCONFDIR:-$prefix/etc} ;;
    esac
    root=${DESTDIR:-}
    share=$root$prefix/share
    install -d "$root$prefix/bin" "$share/man/man1" "$share/doc/repliq" "$lib/systemd/system" "$lib/sysusers.d"
    install -d "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
    install -m 755 "$from/repliq" "$root$prefix/bin/repliq"
    "$from/repliq" manual "$share/man/man1"
    "$from/repliq" completions bash > "$share/bash-completion/completions/repliq"
    "$from/repliq" completions zsh > "$share/zsh/site-functions/_repliq"
    "$from/repliq" completions fish > "$share/fish/vendor_completions.d/repliq.fish"
    sed -e "s|@bindir@|$prefix/bin|g" -e "s|@sysconfdir@|$sysconfdir|g" packaging/repliq.service.in \
        > "$lib/systemd/system/repliq.service"
    install -m 644 packaging/repliq.sysusers "$lib/sysusers.d/repliq.conf"
    install -m 644 packaging/repliq.toml "$share/doc/repliq/repliq.toml"
    install -d "$root$sysconfdir/repliq"
    install -d -m 700 "$root$sysconfdir/repliq/credentials"
    [ -e "$root$sysconfdir/repliq.toml" ] || install -m 644 packaging/repliq.toml "$root$sysconfdir/repliq.toml"
fi
echo "install: repliq $version is in ${DESTDIR:-}$prefix"
