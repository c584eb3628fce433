//! Sets `cfg(loom)` for this crate alone, so that its dependencies are those that everything else is built with.

fn main() {
    println!("cargo::rustc-cfg=loom");
    println!("cargo::rerun-if-changed=build.rs");
}
