//! Publishing: writers and followers of bundles, killed, in each other's way, on full disks, at the limits.

mod following;
mod killed;
mod limits;
mod replaced;
mod targets;

use std::path::Path;

use testkit::{child, opens, publishers};

#[test]
#[ignore = "a part of the other tests, in a process of its own"]
fn in_a_child() {
    let Some(part) = child::part() else { return };
    let words: Vec<&str> = part.split(' ').collect();
    match words[..] {
        ["publish", ref rest @ ..] => publishers::child_publishes(rest),
        ["refused", ref rest @ ..] => publishers::child_is_refused(rest),
        ["steps", root] => killed::takes_steps(Path::new(root)),
        ["overlaid", root] => killed::in_a_container(Path::new(root)),
        ["sparse", root] => limits::sparse(Path::new(root)),
        ["tables", root] => limits::tables(Path::new(root)),
        ["chdir", root] => limits::chdir(Path::new(root)),
        ["opens", ref rest @ ..] => opens::child_opens(rest),
        ["open", ref rest @ ..] => opens::child_opens_large(rest),
        _ => panic!("{part}"),
    }
}
