#!/bin/sh
# install.sh ARCHIVE [LIBDIR]: installs headers, libraries, CMake package and pkg-config file, made from the archive that
# cargo built, under $DESTDIR$PREFIX. LIBDIR is relative to PREFIX: lib (the default), lib64, lib/x86_64-linux-gnu. Nothing
# that is installed holds a path of its own, so the tree can be moved.
set -eu

[ $# = 1 ] || [ $# = 2 ] || { echo 'usage: install.sh ARCHIVE [LIBDIR]' >&2; exit 2; }
archive=$1
libdir=${2:-lib}
here=$(dirname "$0")
case ${PREFIX:=/usr/local} in
  /*) ;;
  *) echo "install.sh: PREFIX is $PREFIX, expected an absolute path" >&2; exit 2 ;;
esac
case /$libdir/ in
  //*|*/../*|*/./*) echo "install.sh: LIBDIR is $libdir, expected a path within PREFIX, such as lib64" >&2; exit 2 ;;
esac

root=${DESTDIR:-}$PREFIX
lib=$root/$libdir
# From a directory so many levels under PREFIX back to it.
lib_to_prefix=$(echo "$libdir" | sed 's|[^/][^/]*|..|g; s|//*|/|g; s|/$||')
# The system's libraries that the static library needs; what unwinds comes with the compiler that links.
system='-lm -lpthread -ldl -lrt'

fill() {
  sed -e "s|@VERSION@|$("$here/version.sh")|g" -e "s|@LIBDIR@|$libdir|g" -e "s|@LIB_TO_PREFIX@|$lib_to_prefix|g" \
    -e "s|@PC_TO_PREFIX@|$lib_to_prefix/..|g" -e "s|@SYSTEM_LIBRARIES@|$3|g" "$here/$1" >"$2"
  chmod 644 "$2"
}

install -d "$root/include/adclick" "$lib/cmake/adclick" "$lib/pkgconfig"
"$here/libraries.sh" "$archive" "$lib"
install -m 644 "$here/../include/adclick.h" "$here/../include/adclick.hpp" "$root/include/"
install -m 644 "$here/../include/adclick/"*.hpp "$root/include/adclick/"
fill adclick.pc.in "$lib/pkgconfig/adclick.pc" "$system"
fill adclick-config.cmake.in "$lib/cmake/adclick/adclick-config.cmake" "$(echo "$system" | sed 's/^-l//; s/ -l/;/g')"
fill adclick-config-version.cmake.in "$lib/cmake/adclick/adclick-config-version.cmake" ''
