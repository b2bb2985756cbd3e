//! What a plain file reaches on the same disk: the bound that no durable queue gets past.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::load::Done;

/// What is appended at once at most, as in the queue.
const GROUP_BYTES: usize = 4 << 20;

/// `writers` append values of `bytes` to one file, each again as soon as its last is synced. One
/// thread writes what waits and syncs once for all of it.
pub(crate) fn closed(directory: &Path, writers: usize, bytes: usize, time: Duration) -> Done {
    let path = directory.join("plain");
    let mut file = File::create(&path).expect("the directory is writable");
    let (commands, queued) = channel::<(Vec<u8>, Sender<()>)>();
    let committer = thread::spawn(move || {
        while let Ok(first) = queued.recv() {
            let mut group = vec![first];
            while group.len() * bytes < GROUP_BYTES
                && let Ok(next) = queued.try_recv()
            {
                group.push(next);
            }
            for (value, _) in &group {
                file.write_all(value).expect("the disk has space");
            }
            file.sync_data().expect("the disk works");
            for (_, done) in group {
                done.send(()).expect("it waits");
            }
        }
    });
    let start = Instant::now();
    let (latencies, collected) = sync_channel(writers);
    for writer in 0..writers {
        let (commands, latencies) = (commands.clone(), latencies.clone());
        thread::spawn(move || {
            let value = noise(writer, bytes);
            let mut own = Vec::new();
            let (done, synced) = channel();
            while start.elapsed() < time {
                let begun = Instant::now();
                commands
                    .send((value.clone(), done.clone()))
                    .expect("it runs");
                synced.recv().expect("it answers");
                own.push(begun.elapsed());
            }
            latencies.send(own).expect("somebody collects");
        });
    }
    drop((commands, latencies));
    let all = collected.iter().flatten().collect();
    let took = start.elapsed();
    committer.join().expect("it does not panic");
    std::fs::remove_file(&path).expect("the directory is writable");
    Done::new(all, took)
}

/// One writer appends so many bytes and syncs, so many times a second.
pub(crate) fn paced(directory: &Path, bytes: usize, per_second: f64, time: Duration) -> Done {
    let path = directory.join("plain");
    let mut file = File::create(&path).expect("the directory is writable");
    let value = noise(0, bytes);
    let mut latencies = Vec::new();
    let start = Instant::now();
    for turn in 0.. {
        let due = start + Duration::from_secs_f64(f64::from(turn) / per_second);
        if due >= start + time {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        file.write_all(&value).expect("the disk has space");
        file.sync_data().expect("the disk works");
        latencies.push(begun.elapsed());
    }
    std::fs::remove_file(&path).expect("the directory is writable");
    Done::new(latencies, start.elapsed())
}

/// Bytes without any pattern.
pub(crate) fn noise(seed: usize, bytes: usize) -> Vec<u8> {
    let mut value = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_be_bytes());
    hasher.finalize_xof().fill(&mut value);
    value
}
