//! A small disk of its own, that can be full without harm to others.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An ext4 file system in a file, mounted until the value is dropped.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Makes and mounts one of so many bytes. Panics where that is not allowed.
    pub(crate) fn mount(bytes: u64) -> SmallDisk {
        let folder = TempDir::new().expect("a temporary directory");
        let image = folder.path().join("image");
        let file = File::create(&image).expect("a temporary directory is writable");
        file.set_len(bytes).expect("a sparse file");
        let disk = SmallDisk { folder };
        fs::create_dir(disk.path()).expect("a temporary directory is writable");
        run("mkfs.ext4", &["-q", "-m", "0"], &[&image]);
        run("mount", &["-o", "loop"], &[&image, &disk.path()]);
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes all space that is left but for so many bytes; removed, the file gives it back.
    pub(crate) fn fill(&self, but_for: u64) -> PathBuf {
        let path = self.path().join("somebody-elses");
        let mut file = File::create(&path).expect("a name takes no block");
        let mut taken = 0;
        while let Ok(bytes @ 1..) = file.write(&[1; 4096]) {
            taken += bytes as u64;
        }
        file.set_len(taken.saturating_sub(but_for))
            .expect("shorter is always possible");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a process that is just ending may still have a file there.
        let path = self.path();
        let _ = Command::new("umount").arg("--lazy").arg(path).status();
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) {
    let output = Command::new(program).args(arguments).args(paths).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} does not start ({error}): install e2fsprogs and mount")
    });
    assert!(
        output.status.success(),
        "{program} failed; the tests of a full disk mount a loop device, so run them as root: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
