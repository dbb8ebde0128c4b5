//! Compiles the BPF object and makes its skeleton, Rust types of all records included.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "bpf/traceleft.bpf.c";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("traceleft.skel.rs");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang-19".into());
    let include =
        format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
    SkeletonBuilder::new()
        .source(SOURCE)
        .clang(clang)
        // v3 is what kernel 5.10 has; the headers of <linux/…> need those of <asm/…> beside them.
        .clang_args(["-mcpu=v3", "-Wall", "-Werror", &include])
        .build_and_generate(&out)
        .unwrap_or_else(|error| panic!("cannot compile {SOURCE}: {error:#}"));
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
}
