//! A file that changes is noticed, however it changes, and its neighbors are not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fieldpost::reload::FileWatch;

/// Long enough for an event to come, short enough to wait for one that must not.
const QUIET: Duration = Duration::from_millis(200);

async fn noticed(watch: &mut FileWatch, how: &str) {
    let change = tokio::time::timeout(Duration::from_secs(30), watch.changed());
    assert!(change.await.is_ok(), "{how} was not noticed");
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a temporary directory is writable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_noticed_and_its_neighbors_are_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("token");
    let mut watch = FileWatch::new([file.as_path()]).expect("the directory can be watched");
    write(&file, "one");
    noticed(&mut watch, "a new file").await;
    write(&file, "three");
    noticed(&mut watch, "a file written in place").await;

    let beside = directory.path().join("beside");
    write(&beside, "four");
    fs::rename(&beside, &file).expect("it is renamed");
    noticed(&mut watch, "a file renamed over").await;

    for number in 0..50 {
        write(&directory.path().join("edge.log"), &number.to_string());
    }
    let quiet = tokio::time::timeout(QUIET, watch.changed()).await;
    assert!(quiet.is_err(), "a neighbor is not the file");

    fs::remove_file(&file).expect("it was there");
    noticed(&mut watch, "a file that went").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_symlink_is_noticed() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    for (folder, text) in [("old", "one"), ("new", "two")] {
        fs::create_dir(at(folder)).expect("a new directory");
        write(&at(folder).join("token"), text);
    }
    // As orchestrators mount secrets: token -> ..data/token, and ..data is swapped.
    symlink("old", at("..data")).expect("a link");
    symlink("..data/token", at("token")).expect("a link");
    let mut watch = FileWatch::new([at("token").as_path()]).expect("the directory can be watched");
    symlink("new", at("..next")).expect("a link");
    fs::rename(at("..next"), at("..data")).expect("it is swapped");
    noticed(&mut watch, "a swapped link").await;
    assert_eq!(fs::read_to_string(at("token")).expect("it reads"), "two");
}
