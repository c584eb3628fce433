//! Publishing by many: processes with the same id, killed at any moment, full and read-only disks. The long form is in
//! tests/long.

use adclick::builder::bundle;
use adclick::builder::bundle::{MODEL_FILE, Role};
use adclick::builder::model::pack_model;
use testkit::common::{Random, Wants, model};
use testkit::{child, publishers};

#[test]
fn many_publishers_of_one_process_id_killed_at_any_moment() {
    publishers::run(child::quick_directory().path(), 4, 40, 1);
    // On a disk syncing takes time, so kills fall into other steps.
    publishers::run(tempfile::tempdir().unwrap().path(), 3, 12, 2);
}

#[test]
fn a_full_or_read_only_disk_changes_nothing() {
    let directory = child::quick_directory();
    let root = directory.path();
    let model = pack_model(&model(&mut Random(3), Wants::default())).unwrap();
    bundle::write(&root.join("a"), &[(Role::Model, MODEL_FILE, &model)], false).unwrap();
    bundle::publish(&root.join("a")).unwrap();
    let part = format!("refused {}", root.display());
    // No file may be longer than what fits; the signal that comes with it is ignored.
    let most = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * model.len().div_ceil(512));
    child::run(&["sh", "-c", &most], &part);
    if !child::may_unshare(&["--mount"]) {
        return;
    }
    let at = root.display();
    let read_only = format!("mount --bind {at} {at} && mount -o remount,bind,ro {at} && exec \"$0\" \"$@\"");
    child::run(&["unshare", "--mount", "sh", "-c", &read_only], &part);
    let size = 512 + 2 * model.len() / 1024;
    let full = format!(
        "kept=$(mktemp -d) && cp -r {at}/. \"$kept\" && mount -t tmpfs -o size={size}k none {at} && \
         cp -r \"$kept\"/. {at} && rm -r \"$kept\" && exec \"$0\" \"$@\""
    );
    child::run(&["unshare", "--mount", "sh", "-c", &full], &part);
}
