#!/bin/sh
# libraries.sh ARCHIVE DIRECTORY: makes the libraries that are installed from the archive that cargo built.
#
#   libadclick.a        one object, whose only global names are those of adclick.map (object.sh)
#   libadclick.so.1.x.y and its links: soname libadclick.so.1, symbols of version ADCLICK_1. 1 is the ABI, x.y begins the
#                       version. cargo's own shared library has neither: rustc passes a version script of its own, which
#                       linkers do not join with another
#
# CC, LD, AR and OBJCOPY name other tools than the system's.
set -eu

[ $# = 2 ] || { echo 'usage: libraries.sh ARCHIVE DIRECTORY' >&2; exit 2; }
archive=$1
out=$2
here=$(dirname "$0")
map=$here/adclick.map
version=$("$here/version.sh")
real=libadclick.so.1.${version%.*}
mkdir -p "$out"
work=$(mktemp -d "$out/.libraries.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$here/object.sh" "$work/adclick.o" "$archive"
"${AR:-ar}" rcsD "$work/libadclick.a" "$work/adclick.o"
"$here/shared.sh" "$work/adclick.o" "$work/$real" -Wl,-soname,libadclick.so.1 -Wl,--version-script="$map" \
  -Wl,--no-undefined-version -Wl,--no-undefined -Wl,--gc-sections -Wl,--as-needed -Wl,-O1 -Wl,--build-id \
  -Wl,-z,relro,-z,now -Wl,-z,noexecstack -lgcc_s -lm -lpthread -ldl -lrt -lc

# Into place by renaming: programs that run keep the file that they have.
chmod 644 "$work/libadclick.a"
chmod 755 "$work/$real"
mv -f "$work/libadclick.a" "$work/$real" "$out/"
ln -sf "$real" "$out/libadclick.so.1"
ln -sf libadclick.so.1 "$out/libadclick.so"
