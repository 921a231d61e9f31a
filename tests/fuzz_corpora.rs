//! All inputs of `fuzz/corpus`, and damaged copies of them, through what the fuzzer calls.
//!
//! The copies are made from seeds, so that a failure comes again. `FUZZ_COPIES` says how many are made of each input, 50 by
//! default; `make fuzz` has the fuzzer itself, which finds its way by what code was reached.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The inputs of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |path: PathBuf| (path.display().to_string(), fs::read(&path).expect("a file of the corpus"));
    let mut inputs: Vec<_> = files.map(|file| read(file.expect("an entry").path())).collect();
    inputs.sort();
    inputs
}

/// A sequence of numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What breaks readers of text.
const WORDS: [&[u8]; 16] = [
    b"null",
    b"-1",
    b"9223372036854775807",
    b"1e999",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"\n",
    b"\xff",
    b"\0",
    b"&a *a",
    b"---\n",
    "\u{1d552}".as_bytes(),
];

/// The input with some damage: bytes changed, left out, doubled, replaced by words or by a part of another input.
fn damaged(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let to = (at + numbers.below(16)).min(bytes.len());
        match numbers.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.splice(at..to, WORDS[numbers.below(WORDS.len())].iter().copied())),
            _ => {
                let from = numbers.below(other.len() + 1);
                let until = (from + numbers.below(64)).min(other.len());
                bytes.splice(at..to, other[from..until].iter().copied());
            }
        }
    }
    bytes
}

fn copies() -> u64 {
    std::env::var("FUZZ_COPIES").map_or(50, |copies| copies.parse().expect("FUZZ_COPIES is a number"))
}

fn run(name: &str, target: fn(&[u8])) {
    let inputs = corpus(name);
    assert!(!inputs.is_empty(), "{name} has no corpus");
    let attempt = |what: String, bytes: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
            eprintln!("{what}: {:?}", String::from_utf8_lossy(bytes));
            resume_unwind(panic);
        }
    };
    for (at, (file, bytes)) in inputs.iter().enumerate() {
        attempt(file.clone(), bytes);
        for seed in 0..copies() {
            let mut numbers = Numbers((at as u64) << 32 | seed);
            let other = &inputs[numbers.below(inputs.len())].1;
            attempt(format!("{file}, copy {seed}"), &damaged(bytes, other, &mut numbers));
        }
    }
}

/// A test for each target, which fails to compile where one is missing.
macro_rules! corpora {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), targets::$name);
        })+

        #[test]
        fn every_target_has_a_test() {
            let tested = [$(stringify!($name)),+];
            assert!(targets::ALL.iter().map(|(name, _)| *name).eq(tested));
        }
    };
}

corpora!(extender, node, quantity, gang, cel, catalogue, config, policy, snapshot);
