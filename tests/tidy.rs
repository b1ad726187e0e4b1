//! The architecture as a test: reads the source tree and refuses what `docs/architecture.md` rules out.

// A test says what it expects by panicking, also in the helpers that clippy does not recognise as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

struct File {
    path: String,
    /// Without comments and without the inline test module.
    code: String,
    all: String,
}

fn source_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending = vec![root.join("src")];
    let mut files = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(read(root, path));
            }
        }
    }
    assert!(files.len() > 10, "the tree was not found");
    files
}

fn read(root: &Path, path: PathBuf) -> File {
    let all = fs::read_to_string(&path).unwrap();
    let production = all.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = production.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    File { path: path.strip_prefix(root).unwrap().display().to_string(), code, all }
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// Fails with every place where a file under `folder` holds one of `banned`.
fn refuse(folder: &str, banned: &[&str], why: &str) {
    let mut found = Vec::new();
    for file in source_files().iter().filter(|file| file.path.starts_with(folder) && !is_test_file(&file.path)) {
        for line in file.code.lines() {
            // Decoders read from memory and write to it through these traits; nothing opens anything with them.
            let line = line.replace("std::io::Write", "").replace("std::io::Read", "");
            if let Some(word) = banned.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}: `{word}` in: {}", file.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn dependencies_run_one_way() {
    refuse("src/rules", &["crate::packet", "crate::kernel", "crate::output", "crate::control"], "rules know nobody");
    refuse("src/packet", &["crate::kernel", "crate::output", "crate::control"], "packet knows only rules");
    refuse("src/kernel", &["crate::output", "crate::control"], "kernel does not know who uses it");
    refuse("src/output", &["crate::kernel", "crate::control"], "output does not know who writes");
}

#[test]
fn the_data_plane_and_the_language_are_pure() {
    let banned = [
        "std::net::Udp",
        "std::net::Tcp",
        "std::fs",
        "std::io",
        "std::os",
        "Instant::now",
        "SystemTime",
        "libc::",
        "tracing::info",
        "tracing::warn",
        "tracing::error",
        "println!",
        "std::thread",
        "unsafe ",
    ];
    refuse("src/packet", &banned, "packet is pure");
    refuse("src/rules", &banned, "rules are pure");
}

#[test]
fn unsafe_lives_in_the_kernel_module_only() {
    for folder in ["src/packet", "src/rules", "src/output", "src/control", "src/main.rs"] {
        refuse(folder, &["unsafe {", "unsafe fn", "allow(unsafe_code)"], "unsafe is for src/kernel");
    }
}

#[test]
fn only_the_verdict_file_can_say_drop() {
    let drops = ["action: Action::Drop(", "return Action::Drop(", "action: Action::Repeat("];
    let found: Vec<_> = source_files()
        .into_iter()
        .filter(|file| file.path.starts_with("src/packet") && !is_test_file(&file.path))
        .filter(|file| file.path != "src/packet/verdict.rs" && drops.iter().any(|drop| file.code.contains(drop)))
        .map(|file| file.path)
        .collect();
    assert!(found.is_empty(), "these make a dropping verdict on their own: {found:?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<_> = source_files()
        .into_iter()
        .filter(|file| !file.all.trim_start().starts_with("//!") && !is_test_file(&file.path))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of: {silent:?}");
}

#[test]
fn nothing_unfinished_is_left_behind() {
    refuse("src", &["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"], "finish it or say so in docs");
}
