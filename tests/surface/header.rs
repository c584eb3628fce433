//! `include/adclick.h` is what cbindgen makes of the sources, in the sections of `include/adclick.toml`. `make header` renews
//! it (`ADCLICK_UPDATE=1 cargo test --test surface header`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::programs::root;

/// The name that a declaration gives. `None` for what is no declaration.
fn name(item: &str) -> Option<&str> {
    let code = item.lines().find(|line| !line.starts_with("//"))?;
    let word = |text: &'_ str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::len);
    let of = |rest: &'_ str| word(rest).unwrap_or(0);
    for start in ["#define ", "enum ", "typedef struct "] {
        if let Some(rest) = code.strip_prefix(start) {
            return Some(&rest[..of(rest)]);
        }
    }
    let (before, _) = code.split_once('(')?;
    before.rsplit([' ', '*']).next()
}

/// An enum in one line instead of twelve: `ADCLICK_ENUM` of the header's beginning has the rest.
fn shorten(item: &str) -> String {
    let Some(start) = item.find("\nenum ").map(|at| at + 1).or(item.starts_with("enum ").then_some(0)) else {
        return item.to_owned();
    };
    let (comment, code) = item.split_at(start);
    let name = code["enum ".len()..].lines().next().unwrap();
    let kind = code.lines().find_map(|line| line.strip_prefix("  : ")).unwrap();
    let body = &code[code.find("\n {\n").unwrap() + 3..code.find("\n};").unwrap() + 3];
    format!("{comment}ADCLICK_ENUM({name}, {kind}) {{{body}")
}

/// Without the fields that only the build has which tests how the ABI grows.
fn published(item: &str) -> String {
    let mut text = item.to_owned();
    while let Some(start) = text.find("#if defined(ADCLICK_GROWN)\n") {
        let end = "#endif\n  ;\n";
        let len = text[start..].find(end).unwrap() + end.len();
        text.replace_range(start..start + len, "");
    }
    text
}

/// The header, in which every item that cbindgen finds stands in one section.
fn generate() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let (beginning, includes) = (config.header.take().unwrap(), config.after_includes.take().unwrap());
    let end = config.trailer.take().unwrap();
    config.cpp_compat = true;
    let mut bytes = Vec::new();
    cbindgen::Builder::new().with_crate(root()).with_config(config).generate().unwrap().write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let mut items = BTreeMap::new();
    for item in
        text.split("\n\n").map(str::trim).filter_map(|item| Some((name(item)?.to_owned(), published(&shorten(item)))))
    {
        assert!(items.insert(item.0.clone(), item.1).is_none(), "{} comes twice", item.0);
    }
    let sections: toml::Table = std::fs::read_to_string(root().join("include/adclick.toml")).unwrap().parse().unwrap();
    let names = |section: &toml::Table, key: &str| -> Vec<String> {
        let listed = section.get(key).and_then(toml::Value::as_array);
        listed.into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = items.keys().cloned().collect();
    let (mut index, mut body) = (String::new(), String::new());
    for (i, section) in sections["section"].as_array().unwrap().iter().enumerate() {
        let section = section.as_table().unwrap();
        let title = section["title"].as_str().unwrap();
        let listed = names(section, "items");
        write!(index, "\n *  {:>2}. {title}", i + 1).unwrap();
        let mut width = usize::MAX;
        for name in &listed {
            if width > 110 - name.len() {
                index += "\n *     ";
                width = 7;
            }
            index += &format!(" {name}");
            width += 1 + name.len();
        }
        writeln!(body, "/* ---- {}. {title} {}", i + 1, "-".repeat(100 - title.len())).unwrap();
        if let Some(about) = section.get("about") {
            writeln!(body, " *\n * {}", about.as_str().unwrap()).unwrap();
        }
        let also = names(section, "also");
        if !also.is_empty() {
            writeln!(body, " * See also: {}.", also.join(", ")).unwrap();
        }
        body += " */\n\n";
        for name in &also {
            assert!(all.contains(name), "include/adclick.toml: {title} sends to {name}, which is not there");
        }
        for name in listed {
            let item =
                items.remove(&name).unwrap_or_else(|| panic!("include/adclick.toml: no {name}, or it comes twice"));
            body += &format!("{item}\n\n");
        }
    }
    let left: Vec<_> = items.keys().collect();
    assert!(left.is_empty(), "include/adclick.toml: in no section: {left:?}");
    let beginning = beginning.trim_start().replace("@INDEX@", &index);
    format!(
        "{beginning}{includes}\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{body}#ifdef __cplusplus\n}}  /* extern \"C\" */\n#endif\n{end}"
    )
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = generate();
    let path = root().join("include/adclick.h");
    if std::env::var_os("ADCLICK_UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let names = committed.lines().filter_map(|line| line.strip_prefix("#define "));
    let foreign: Vec<&str> = names.filter(|name| !name.starts_with("ADCLICK_")).collect();
    assert!(foreign.is_empty(), "macros that are not the library's own to define: {foreign:?}");
    assert!(committed == generated, "include/adclick.h has drifted from the sources: run `make header` and commit it");
}
