#!/bin/sh
# shared.sh OBJECT OUT FLAG…: links a relocatable object into a shared library that runs with glibc 2.28 and later (Debian 10,
# RHEL 8, Ubuntu 18.10), however new the one here is. The FLAGs go to the compiler.
#
# A linker binds each name to the newest version that it finds. Here names that have an older version are bound to the newest
# of those up to 2.28, as `.symver` does in source, and the few that have none are in glibc_compat.c. With another C library
# (musl) the object is linked as it is.
#
# CC and OBJCOPY name other tools than the system's.
set -eu

[ $# -ge 2 ] || { echo 'usage: shared.sh OBJECT OUT FLAG…' >&2; exit 2; }
object=$1
out=$2
shift 2
here=$(dirname "$0")
cc=${CC:-cc}
libc=$("$cc" -print-file-name=libc.so.6)
if [ ! -e "$libc" ]; then
  exec "$cc" -shared -o "$out" "$object" "$@"
fi
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$cc" -O2 -Wall -Werror -fPIC -fvisibility=hidden -c "$here/glibc_compat.c" -o "$work/compat.o"
# .llvm*: as in object.sh.
"${OBJCOPY:-objcopy}" -R .llvmbc -R .llvmcmd "$object" "$work/object.o"
nm --undefined-only --format=posix "$work/object.o" >"$work/undefined"
# From what a library exports: the version of each name that linkers take, and the newest of those up to 2.28.
for library in "$libc" "$("$cc" -print-file-name=libm.so.6)"; do
  objdump -T "$library"
done | awk '
  function number(version, parts) { split(version, parts, "[_.]"); return parts[2] * 1000 + parts[3] }
  FILENAME != "-" { wanted[$1]; next }
  !/\*UND\*/ && $NF in wanted {
    version = $(NF - 1)
    hidden = gsub(/[()]/, "", version)
    if (version !~ /^GLIBC_[0-9]/) next
    if (!hidden) default_version[$NF] = version
    if (number(version) <= 2028 && (!($NF in old) || number(version) > number(old[$NF]))) old[$NF] = version
  }
  END { for (name in default_version) if (number(default_version[name]) > 2028 && name in old) print name, name "@" old[name] }
' "$work/undefined" - >"$work/versions"
"${OBJCOPY:-objcopy}" --redefine-syms="$work/versions" "$work/object.o"
# Before 2.34 the functions of threads and of dlopen were in libraries of their own, which are there still.
"$cc" -shared -o "$out" "$work/object.o" "$work/compat.o" "$@" \
  -Wl,--push-state,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2 -Wl,--pop-state
