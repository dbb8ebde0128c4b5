//! Between bytes and the structures of `bpf/events.h`. Nothing here knows libbpf.
//!
//! One of the two modules with `unsafe`.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::ptr;
use std::slice;

use crate::skel::types;

/// A structure that kernel and daemon share.
///
/// # Safety
/// Every bit pattern is a value of it, and it has no padding: only integers and arrays of them.
pub unsafe trait Wire: Copy {}

macro_rules! wire {
    ($($name:ident = $size:literal),+ $(,)?) => { $(
        // SAFETY: bpf/events.h holds these to integers of explicit width, without padding.
        unsafe impl Wire for types::$name {}
        // A change of size is deliberate or it does not compile.
        const _: () = assert!(size_of::<types::$name>() == $size);
    )+ };
}

wire! {
    record_header = 192,
    open_record = 216,
    exec_record = 216,
    file_record = 248,
    process_record = 256,
    credentials_record = 232,
    socket_record = 304,
    bpf_record = 200,
    group_record = 24,
    group = 56,
    name_key = 264,
    pattern_state = 264,
    name_value = 16,
    map_access = 328,
    target_counters = 1088,
}

/// The structure at the beginning of these bytes, wherever they lie; `None` if they are too few.
pub fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes, any bytes are a T, and the read needs no alignment.
    Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a structure.
pub fn bytes<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: a T is that many bytes, all of them initialized since it has no padding.
    unsafe { slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_no_less() {
        let value = types::group_record { cgroup_id: 7, path_length: 3, ..Default::default() };
        let mut written = bytes(&value).to_vec();
        written.extend(b"abc");
        assert_eq!(read::<types::group_record>(&written).unwrap().cgroup_id, 7);
        assert!(read::<types::group_record>(&written[..23]).is_none());
        written.insert(0, 0);
        assert_eq!(read::<types::group_record>(&written[1..]).unwrap().path_length, 3);
    }
}
