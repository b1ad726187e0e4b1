//! The committed inputs: hexadecimal text, `#` begins a comment.

use std::fs;
use std::path::Path;

pub struct Input {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The inputs of one target, by name.
pub fn read(target: &str) -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be listed").path())
        .map(|path| Input {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: parse(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
        })
        .collect();
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    inputs
}

fn parse(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().chars())
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16).expect("only hexadecimal digits"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte");
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect()
}

#[test]
fn comments_and_spaces_are_not_bytes() {
    assert_eq!(parse("# all\n45 00 # version\n\n0014"), [0x45, 0, 0, 0x14]);
}
