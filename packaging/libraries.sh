#!/bin/sh
# libraries.sh ARCHIVE DIRECTORY: makes the libraries that are installed from the archive that cargo built.
#
#   libadclick.a        one object; names that adclick.map does not list are local, so that they meet nobody else's: every
#                       Rust archive brings the same runtime, and two of them clash otherwise
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
for tool in "${LD:-ld}" "${AR:-ar}" "${OBJCOPY:-objcopy}"; do
  command -v "$tool" >/dev/null || { echo "libraries.sh: $tool is missing: install binutils" >&2; exit 1; }
done
[ -f "$archive" ] || { echo "libraries.sh: no $archive: run cargo build --release -p adclick" >&2; exit 1; }

version=$("$here/version.sh")
real=libadclick.so.1.${version%.*}
mkdir -p "$out"
work=$(mktemp -d "$out/.libraries.XXXXXX")
trap 'rm -rf "$work"' EXIT

sed -n 's/^ *\(adclick_[a-z0-9_]*\);$/\1/p' "$map" >"$work/names"
# Without groups: a group of the same name in another archive would replace this one's, whose name is local.
# shellcheck disable=SC2046 # names have no spaces
"${LD:-ld}" -r --gc-sections --force-group-allocation $(sed 's/^/-u /' "$work/names") "$archive" -o "$work/adclick.o"
# Names that nothing refers to any more would count as strong references. .llvm*: the standard library's bitcode, over which
# the tools of another LLVM stumble.
"${OBJCOPY:-objcopy}" --keep-global-symbols="$work/names" --keep-symbols="$work/names" -w --strip-unneeded-symbol='*' \
  -R .llvmbc -R .llvmcmd "$work/adclick.o"
"${AR:-ar}" rcsD "$work/libadclick.a" "$work/adclick.o"
"${CC:-cc}" -shared -o "$work/$real" "$work/adclick.o" -Wl,-soname,libadclick.so.1 -Wl,--version-script="$map" \
  -Wl,--no-undefined-version -Wl,--no-undefined -Wl,--gc-sections -Wl,--as-needed -Wl,-O1 -Wl,--build-id \
  -Wl,-z,relro,-z,now -Wl,-z,noexecstack -lgcc_s -lm -lpthread -ldl -lrt -lc

# Into place by renaming: programs that run keep the file that they have.
chmod 644 "$work/libadclick.a"
chmod 755 "$work/$real"
mv -f "$work/libadclick.a" "$work/$real" "$out/"
ln -sf "$real" "$out/libadclick.so.1"
ln -sf libadclick.so.1 "$out/libadclick.so"
