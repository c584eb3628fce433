#!/bin/sh
# public-items.sh DOC MOST: counts what users of the crate see (types, functions, constants, and their methods), by rustdoc's
# pages in DOC, and fails past MOST. `make lint` makes the pages without the feature builder.
set -eu
doc=$1 most=$2
pages=$(grep -oE 'href="[A-Za-z0-9_/]*(struct|enum|union|trait|fn|type|constant|static|macro)\.[A-Za-z0-9_]+\.html"' "$doc/all.html" \
  | sed 's/href="//; s/"//' | sort -u)
items=0
for page in $pages; do
  # Methods and constants of its own, and those that a trait asks for; not what it has by implementing traits.
  own=$(grep -oE '<section id="[A-Za-z0-9_.]+" class="(method|associatedconstant)">' "$doc/$page" | wc -l)
  items=$((items + 1 + own))
done
# So that rustdoc's pages, should they change their form, are not counted as nothing.
[ "$items" -ge 60 ] || { echo "public-items.sh: $items items in $doc: rustdoc's pages are of another form"; exit 1; }
[ "$items" -le "$most" ] || {
  echo "public-items.sh: $items public items, expected at most $most. What only packing, training or tests need belongs behind"
  echo "the feature builder (src/builder.rs)."
  exit 1
}
echo "$items public items"
