//! Sets `cfg(loom)` for this crate alone, so that its dependencies are built as for everything else.

fn main() {
    println!("cargo::rustc-cfg=loom");
    println!("cargo::rerun-if-changed=build.rs");
}
