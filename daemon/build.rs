//! Compiles the BPF object and makes its skeleton, Rust types of all records included.

use std::env;
use std::fs;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;
use sha2::{Digest, Sha256};

const SOURCE: &str = "bpf/traceleft.bpf.c";

fn main() {
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (out, object) = (directory.join("traceleft.skel.rs"), directory.join("traceleft.bpf.o"));
    let fentry_object = directory.join("traceleft-fentry.bpf.o");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang-19".into());
    let include =
        format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
    // v3 is what kernel 5.10 has; the headers of <linux/…> need those of <asm/…> beside them.
    let arguments = ["-mcpu=v3", "-Wall", "-Werror", &include];
    let failed = |error| panic!("cannot compile {SOURCE}: {error:#}");
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang(&clang)
        .clang_args(arguments)
        .build_and_generate(&out)
        .unwrap_or_else(failed);
    // The same for trampolines; its maps and types are those of the other.
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&fentry_object)
        .clang(&clang)
        .clang_args(arguments.into_iter().chain(["-DFENTRY"]))
        .build()
        .unwrap_or_else(failed);
    // By this a daemon knows whether what another has loaded is the same.
    let mut digest = Sha256::new();
    for object in [object, fentry_object] {
        let bytes = fs::read(&object);
        digest.update(bytes.unwrap_or_else(|error| panic!("cannot read {}: {error}", object.display())));
    }
    println!("cargo:rustc-env=TRACELEFT_OBJECT={:x}", digest.finalize());
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
}
