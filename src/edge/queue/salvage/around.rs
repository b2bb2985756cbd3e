//! Reads a file in which the disk cannot read some places, as if zeros stood there.

use std::io::{self, Read};

use crate::edge::queue::error::is_unreadable;

/// What is left out at least: a page, which a disk reads as a whole.
const BLOCK_BYTES: u64 = 4096;
/// After so many blocks, whatever is read at a time is left out whole: a disk takes seconds to give one up.
const MAX_BLOCKS: u32 = 64;

/// The bytes of a file, in order. `F` reads some at an offset.
pub(super) struct Around<F> {
    read: F,
    offset: u64,
    length: u64,
    left_out: u32,
}

impl<F: Fn(&mut [u8], u64) -> io::Result<usize>> Around<F> {
    /// The first `length` bytes.
    pub(super) fn new(read: F, length: u64) -> Self {
        Self {
            read,
            offset: 0,
            length,
            left_out: 0,
        }
    }

    /// Reads where the disk did not read all of `buffer`: a block, or zeros in its place.
    fn read_block(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let to_boundary = BLOCK_BYTES - self.offset % BLOCK_BYTES;
        let block = match self.left_out < MAX_BLOCKS {
            true => buffer.len().min(to_boundary as usize),
            false => buffer.len(),
        };
        let block = &mut buffer[..block];
        match (self.read)(block, self.offset) {
            Err(error) if is_unreadable(&error) => {
                if self.left_out == 0 {
                    tracing::error!(%error, offset = self.offset, "a segment of the queue cannot be read in places; what stands there is left out");
                }
                self.left_out += 1;
                block.fill(0);
                Ok(block.len())
            }
            read => read,
        }
    }
}

impl<F: Fn(&mut [u8], u64) -> io::Result<usize>> Read for Around<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        let read = match (self.read)(buffer, self.offset) {
            Err(error) if is_unreadable(&error) => self.read_block(buffer),
            read => read,
        }?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Reads a file of ones, of which the disk does not read these blocks, the way that Linux does: what comes
    /// before the first of them, or nothing. Also says how often it failed to.
    fn read(length: u64, bad: &[u64]) -> (Vec<u8>, u32) {
        let failures = Cell::new(0);
        let read = |buffer: &mut [u8], offset: u64| {
            let end = length.min(offset + buffer.len() as u64);
            let is_bad = |at: &u64| bad.contains(&(at / BLOCK_BYTES));
            let good = (offset..end).take_while(|at| !is_bad(at)).count();
            if good == 0 && offset < end {
                failures.set(failures.get() + 1);
                return Err(rustix::io::Errno::IO.into());
            }
            buffer[..good].fill(1);
            Ok(good)
        };
        let mut bytes = Vec::new();
        let mut around = Around::new(read, length);
        around.read_to_end(&mut bytes).expect("it is read around");
        (bytes, failures.get())
    }

    #[test]
    fn zeros_stand_where_the_disk_does_not_read_and_nowhere_else() {
        for bad in [&[][..], &[0], &[3], &[1, 2, 7], &[12]] {
            let (bytes, _) = read(12 * BLOCK_BYTES + 100, bad);
            assert_eq!(bytes.len(), 12 * BLOCK_BYTES as usize + 100);
            for (at, byte) in bytes.iter().enumerate() {
                let is_bad = bad.contains(&(at as u64 / BLOCK_BYTES));
                assert_eq!(*byte, u8::from(!is_bad), "{at}, {bad:?}");
            }
        }
    }

    #[test]
    fn a_disk_that_reads_nothing_is_not_asked_for_every_block() {
        let bad: Vec<u64> = (0..4096).collect();
        let (bytes, failures) = read(4096 * BLOCK_BYTES, &bad);
        assert_eq!(bytes, vec![0; 4096 * BLOCK_BYTES as usize]);
        assert!(failures < 1000, "{failures}");
    }

    #[test]
    fn other_errors_are_no_damage() {
        let denied = |_: &mut [u8], _| Err(io::ErrorKind::PermissionDenied.into());
        let read = Around::new(denied, 10).read_to_end(&mut Vec::new());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
