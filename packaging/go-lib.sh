#!/bin/sh
# go-lib.sh ARCHIVE PLATFORM: puts what the Go package links into bindings/go/lib, beside the header: the archive that cargo
# built as libadclick_PLATFORM.a (linux_amd64, linux_arm64_musl, …), one object without debugging information. Does nothing when
# that is newer than what it is made of.
set -eu

[ $# = 2 ] || { echo 'usage: go-lib.sh ARCHIVE PLATFORM' >&2; exit 2; }
here=$(dirname "$0")
lib=$here/../bindings/go/lib
made=$lib/libadclick_$2.a
sources="$1 $here/../include/adclick.h $here/adclick.map $here/object.sh $0"
# shellcheck disable=SC2086 # a list
[ ! -e "$made" ] || [ ! -e "$lib/adclick.h" ] || [ -n "$(find $sources -newer "$made")" ] || exit 0
work=$(mktemp -d "$lib/.go-lib.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$here/object.sh" "$1" "$work/adclick.o"
"${OBJCOPY:-objcopy}" --strip-debug "$work/adclick.o"
"${AR:-ar}" rcsD "$work/libadclick.a" "$work/adclick.o"
cp "$here/../include/adclick.h" "$work/adclick.h"
mv -f "$work/adclick.h" "$lib/"
mv -f "$work/libadclick.a" "$made"
