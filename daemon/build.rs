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
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang-19".into());
    let include =
        format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang(clang)
        // v3 is what kernel 5.10 has; the headers of <linux/…> need those of <asm/…> beside them.
        .clang_args(["-mcpu=v3", "-Wall", "-Werror", &include])
        .build_and_generate(&out)
        .unwrap_or_else(|error| panic!("cannot compile {SOURCE}: {error:#}"));
    // By this a daemon knows whether what another has loaded is the same.
    let bytes = fs::read(&object).unwrap_or_else(|error| panic!("cannot read {}: {error}", object.display()));
    println!("cargo:rustc-env=TRACELEFT_OBJECT={:x}", Sha256::digest(bytes));
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
}
