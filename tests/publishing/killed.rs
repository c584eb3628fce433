//! Publishing by many: processes with the same id, killed at any moment, full and read-only disks. The long form is in
//! tests/long.

use std::path::{Path, PathBuf};
use std::process::Command;

use adclick::builder::bundle;
use adclick::builder::bundle::{MODEL_FILE, Manifest, Role};
use adclick::builder::model::pack_model;
use adclick::{Engine, Options};
use testkit::common::{Random, Wants, model};
use testkit::{child, publishers};

#[test]
fn many_publishers_of_one_process_id_killed_at_any_moment() {
    publishers::run(child::quick_directory().path(), 4, 40, 1);
    // On a disk syncing takes time, so kills fall into other steps.
    publishers::run(tempfile::tempdir().unwrap().path(), 3, 12, 2);
}

/// The part of a child: one bundle in place of another, one where nothing is, which becomes the live one.
pub(crate) fn takes_steps(root: &Path) {
    publishers::write(root, "a", 1);
    publishers::write(root, "new", 2);
    bundle::publish(&root.join("new")).unwrap();
}

/// The program that ends a child at one of its steps; none where it cannot be had.
fn at_step(to: &Path) -> Option<PathBuf> {
    let program = to.join("at_step");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/at_step.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]).arg(source).arg("-o").arg(&program);
    let Ok(output) = command.output() else {
        eprintln!("skipped: no C compiler");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

/// Killed before each of its steps, or with that step failing as on a full disk, a command leaves a whole bundle under each
/// name and nothing that the next one does not clean.
#[test]
fn at_every_step_there_is_a_whole_bundle() {
    let directory = child::quick_directory();
    let Some(program) = at_step(directory.path()) else { return };
    let (root, known) = publishers::prepare(directory.path(), &mut Random(5));
    let whole = |name: &str, contents: &[usize]| {
        let manifest = Manifest::read(&root.join(name)).unwrap();
        manifest.check_files(&root.join(name)).unwrap();
        assert!(contents.iter().any(|&content| known[content] == manifest.generation()), "{name}");
    };
    for (how, ends) in [("kill", [137, 137]), ("fail", [0, 101])] {
        for step in 1.. {
            publishers::write(&root, "a", 0);
            bundle::publish(&root.join("a")).unwrap();
            let _ = std::fs::remove_dir_all(root.join("new"));
            let number = step.to_string();
            let wrap = [program.to_str().unwrap(), how, &number];
            let output = child::command(&wrap, &format!("steps {}", root.display())).output().unwrap();
            let (told, code) = (String::from_utf8_lossy(&output.stdout), output.status.code().unwrap());
            if code == 125 {
                eprintln!("skipped in part: no {how} at a step here");
                break;
            }
            if told.lines().any(|line| line == "ended") {
                assert!(code == 0 && step > 40, "{step} steps: {told}");
                break;
            }
            assert!(ends.contains(&code), "{how} at step {step}: {code}, {told}");
            whole("a", &[0, 1]);
            if root.join("new").exists() {
                whole("new", &[2]);
            }
            Engine::open(&root, &Options::default()).unwrap_or_else(|e| panic!("{how} at step {step}: {e}"));
            publishers::write(&root, "d", 3);
            let names = publishers::names(&root);
            assert!(names.iter().all(|name| !name.starts_with('.')), "{how} at step {step}, {told}: {names:?}");
        }
    }
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
    let Some(unshare) = child::unshare_mounts() else { return };
    let with_mounts = |script| child::run(&[&unshare[..], &["sh", "-c", script]].concat(), &part);
    let at = root.display();
    let read_only = format!("mount --bind {at} {at} && mount -o remount,bind,ro {at} && exec \"$0\" \"$@\"");
    with_mounts(&read_only);
    let size = 512 + 2 * model.len() / 1024;
    let full = format!(
        "kept=$(mktemp -d) && cp -r {at}/. \"$kept\" && mount -t tmpfs -o size={size}k none {at} && \
         cp -r \"$kept\"/. {at} && rm -r \"$kept\" && exec \"$0\" \"$@\""
    );
    with_mounts(&full);
}

/// A container's own file system: layers of an image below, and one above that is written to.
#[test]
fn on_overlayfs_publishing_is_as_on_a_disk() {
    let Some(unshare) = child::unshare_mounts() else { return };
    let directory = child::quick_directory();
    let root = directory.path();
    let model = pack_model(&model(&mut Random(4), Wants::default())).unwrap();
    for layer in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(root.join(layer)).unwrap();
    }
    bundle::write(&root.join("lower/image/a"), &[(Role::Model, MODEL_FILE, &model)], false).unwrap();
    let mount = format!(
        "cd {} && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged",
        root.display()
    );
    let in_mounts = |script| [&unshare[..], &["sh", "-c", script]].concat();
    let tried = in_mounts(&mount);
    if !Command::new(tried[0]).args(&tried[1..]).status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: overlayfs cannot be mounted here");
    }
    let mounted = format!("{mount} && cd / && exec \"$0\" \"$@\"");
    child::run(&in_mounts(&mounted), &format!("overlaid {}", root.join("merged").display()));
}

/// The part of a child on overlayfs, where `image/a` is a bundle of a lower layer.
pub(crate) fn in_a_container(root: &Path) {
    publishers::run(root, 3, 20, 3);
    // Files of the image can be served and published but neither renamed nor replaced, and the error says so.
    let image = root.join("image");
    bundle::publish(&image.join("a")).unwrap();
    let before = publishers::names(&image);
    let refused = bundle::write(&image.join("a"), &[(Role::Model, MODEL_FILE, b"new")], true).unwrap_err();
    assert!(refused.message.contains("put bundles on a volume"), "{refused}");
    assert_eq!(publishers::names(&image), before);
    Engine::open(&image, &Options::default()).unwrap();
}
