//! The BPF object's skeleton and the types of `bpf/events.h`, made by `build.rs` from the object.
#![allow(unsafe_code, missing_docs, unused, unused_qualifications, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/traceleft.skel.rs"));
