//! `include/adclick.h` is what cbindgen makes of the sources. `ADCLICK_UPDATE=1 cargo test --test surface header` renews it.

use std::path::Path;

#[test]
fn the_committed_header_is_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut bytes = Vec::new();
    cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap().write(&mut bytes);
    let generated = String::from_utf8(bytes).unwrap();
    let path = root.join("include/adclick.h");
    if std::env::var_os("ADCLICK_UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let names = committed.lines().filter_map(|line| line.strip_prefix("#define "));
    let foreign: Vec<&str> = names.filter(|name| !name.starts_with("ADCLICK_")).collect();
    assert!(foreign.is_empty(), "macros that are not the library's own to define: {foreign:?}");
    assert!(committed == generated, "include/adclick.h has drifted from the sources: run `make header` and commit it");
}
