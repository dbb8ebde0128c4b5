//! Reading a BPF ring buffer in place.
//!
//! libbpf's reader gives each record back to the kernel as soon as its callback returns. Ours keeps a record
//! in the ring until it is told that the record has been sent, so that what journald has not taken is still
//! there after a crash, and so that records go out in batches without being copied.
//!
//! The layout is the kernel's, `kernel/bpf/ringbuf.c`: a page with the consumer's position, a page with the
//! producer's, and the data, mapped twice in a row so that no record is ever split.
//!
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

const BUSY_BIT: u32 = 1 << 31;
const DISCARD_BIT: u32 = 1 << 30;
const HEADER_SIZE: usize = 8;

/// A mapping that ends with its owner.
#[derive(Debug)]
struct Mapping {
    address: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    fn new(map: impl AsFd, length: usize, protection: ProtFlags, offset: usize) -> io::Result<Self> {
        let size = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, map, offset)? };
        Ok(Self { address, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing borrowed from it outlives its owner.
        let _ = unsafe { munmap(self.address, self.length) };
    }
}

/// Memory of 64-bit numbers that others see, too: a BPF array, or a file that outlives the daemon.
#[derive(Debug)]
pub struct SharedWords {
    mapping: Mapping,
}

// SAFETY: the mapping is plain shared memory, reached through atomics.
unsafe impl Send for SharedWords {}

impl SharedWords {
    /// Maps so many numbers of a map of type `BPF_MAP_TYPE_ARRAY` with `BPF_F_MMAPABLE`, to be read.
    pub fn read_only(map: impl AsFd, length: usize) -> io::Result<Self> {
        Ok(Self { mapping: Mapping::new(map, length * size_of::<u64>(), ProtFlags::PROT_READ, 0)? })
    }

    /// Maps so many numbers of a file or map, to be read and written.
    pub fn writable(file: impl AsFd, length: usize) -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        Ok(Self { mapping: Mapping::new(file, length * size_of::<u64>(), protection, 0)? })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.mapping.length / size_of::<u64>()
    }

    /// Where a number lies, and all behind it.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn address(&self, index: usize) -> NonNull<u64> {
        assert!(index < self.len());
        // SAFETY: within the mapping, which is aligned to a page.
        unsafe { self.mapping.address.cast::<u64>().add(index) }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: within the mapping, aligned, and it lives as long as `self`; an AtomicU64 has the layout of a u64.
        unsafe { self.address(index).cast().as_ref() }
    }

    /// A number, as it is at some moment after all that was seen before.
    pub fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Changes a number after all that was changed before. Only of what was mapped to be written.
    pub fn store(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    /// Writes so many whole numbers, see [`store`](Self::store).
    pub fn write(&self, from: usize, bytes: &[u8]) {
        for (index, number) in (from..).zip(bytes.as_chunks().0) {
            self.store(index, u64::from_ne_bytes(*number));
        }
    }

    /// The bytes of so many numbers, each as it was at some moment; `None` beyond the end.
    pub fn bytes(&self, from: usize, count: usize) -> Option<Vec<u8>> {
        let numbers = from..from + count;
        (numbers.end <= self.len()).then(|| numbers.flat_map(|i| self.load(i).to_ne_bytes()).collect())
    }
}

/// The consumer's end of a ring buffer.
#[derive(Debug)]
pub struct Ring {
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    mask: u64,
}

// SAFETY: the mappings are plain shared memory, reached through atomics.
unsafe impl Send for Ring {}

/// A record in the ring.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// The position to release when it is done with.
    pub end: u64,
}

impl Ring {
    /// Maps the ring of a map of type `BPF_MAP_TYPE_RINGBUF` with this many bytes.
    pub fn new(map: impl AsFd, size: u32) -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|p| usize::try_from(p).ok()).unwrap_or(4096);
        let data = usize::try_from(size).map_err(io::Error::other)?;
        let consumer = Mapping::new(&map, page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0)?;
        let producer = Mapping::new(&map, page + 2 * data, ProtFlags::PROT_READ, page)?;
        Ok(Self { consumer, producer, page, mask: u64::from(size) - 1 })
    }

    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: the page begins with the position, aligned, and lives as long as `self`.
        unsafe { self.consumer.address.cast().as_ref() }
    }

    /// Position up to which records are released.
    pub fn consumed(&self) -> u64 {
        self.consumer().load(Ordering::Relaxed)
    }

    /// Position up to which records have been written or are being written.
    pub fn produced(&self) -> u64 {
        // SAFETY: as for the consumer's; the kernel alone writes to it.
        let position: &AtomicU64 = unsafe { self.producer.address.cast().as_ref() };
        position.load(Ordering::Acquire)
    }

    /// Gives everything before this position back to the kernel.
    pub fn release(&mut self, position: u64) {
        self.consumer().store(position, Ordering::Release);
    }

    /// The records from this position on, as far as they are complete.
    pub fn records(&self, from: u64) -> Records<'_> {
        Records { ring: self, position: from, produced: self.produced() }
    }
}

/// See [`Ring::records`].
#[derive(Debug)]
pub struct Records<'a> {
    ring: &'a Ring,
    position: u64,
    produced: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        while self.position < self.produced {
            let offset = usize::try_from(self.position & self.ring.mask).ok()?;
            // SAFETY: `offset` is below the size of the data, which is mapped behind one page; records begin
            // at multiples of 8.
            let record = unsafe { self.ring.producer.address.cast::<u8>().add(self.ring.page + offset) };
            // SAFETY: as above; a record begins with its length.
            let header = unsafe { record.cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire);
            if header & BUSY_BIT != 0 {
                return None;
            }
            let length = usize::try_from(header & !DISCARD_BIT).ok()?;
            self.position += (HEADER_SIZE + length).next_multiple_of(8) as u64;
            if header & DISCARD_BIT == 0 {
                // SAFETY: the kernel wrote `length` bytes here, no more than the data has, and leaves them
                // alone until they are released, for which `&mut Ring` is needed. The second mapping of the
                // data makes them contiguous.
                let data = unsafe { std::slice::from_raw_parts(record.add(HEADER_SIZE).as_ptr(), length) };
                return Some(Record { data, end: self.position });
            }
        }
        None
    }
}

/// A number in the object's memory that both sides may write.
#[derive(Debug)]
pub struct SharedNumber {
    words: Rc<SharedWords>,
    index: usize,
}

impl SharedNumber {
    /// The number that lies so many bytes behind the beginning.
    pub fn new(words: &Rc<SharedWords>, offset: usize) -> Self {
        Self { words: Rc::clone(words), index: offset / size_of::<u64>() }
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.words.word(self.index).load(Ordering::SeqCst)
    }

    /// Changes it.
    pub fn set(&self, value: u64) {
        self.words.word(self.index).store(value, Ordering::SeqCst);
    }
}
