#!/bin/sh
# go-lib.sh PLATFORM ARCHIVE…: puts what the Go package links into bindings/go/lib, beside the header: the archive that cargo
# built, and others that it needs, as libadclick_PLATFORM.a (linux_amd64, linux_arm64_musl, …), one object without debugging information. Does nothing when
# that is newer than what it is made of.
set -eu

[ $# -ge 2 ] || { echo 'usage: go-lib.sh PLATFORM ARCHIVE…' >&2; exit 2; }
platform=$1
shift
here=$(dirname "$0")
lib=$here/../bindings/go/lib
made=$lib/libadclick_$platform.a
sources="$* $here/../include/adclick.h $here/adclick.map $here/object.sh $0"
# shellcheck disable=SC2086 # a list
[ ! -e "$made" ] || [ ! -e "$lib/adclick.h" ] || [ -n "$(find $sources -newer "$made")" ] || exit 0
work=$(mktemp -d "$lib/.go-lib.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$here/object.sh" "$work/adclick.o" "$@"
"${OBJCOPY:-objcopy}" --strip-debug "$work/adclick.o"
"${AR:-ar}" rcsD "$work/libadclick.a" "$work/adclick.o"
cp "$here/../include/adclick.h" "$work/adclick.h"
mv -f "$work/adclick.h" "$lib/"
mv -f "$work/libadclick.a" "$made"
