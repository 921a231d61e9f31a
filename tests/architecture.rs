//! What cargo cannot enforce about the layout: the core stays pure, layers point down only, files can be read in one
//! sitting, and every module says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer than this is no file to read in one sitting.
const MAX_LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their text, in the order of their paths.
fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder that can be listed").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = vec![];
    walk(&root().join(folder), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        (path.strip_prefix(root()).expect("below the root").to_path_buf(), text)
    };
    files.into_iter().map(read).collect()
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "tests.rs" || name.ends_with("_tests.rs") || name == "testing.rs"
}

/// The text without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]").next().unwrap_or_default();
    body.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_core_knows_no_clock_no_chance_and_no_hash_order() {
    const FORBIDDEN: &[(&str, &str)] = &[
        ("std::time", "time is told to the core, never asked for"),
        ("SystemTime", "time is told to the core, never asked for"),
        ("Instant", "time is told to the core, never asked for"),
        ("HashMap", "iteration in hash order: use BTreeMap, or IndexMap for look-ups"),
        ("HashSet", "iteration in hash order: use BTreeSet"),
        ("RandomState", "a random source"),
        ("rand::", "a random source"),
        ("std::fs", "IO"),
        ("std::net", "IO"),
        ("std::env", "IO"),
        ("std::thread", "the core is synchronous"),
        ("async fn", "the core is synchronous"),
        ("println!", "IO"),
    ];
    for (path, text) in rust_files("src/core").iter().filter(|(path, _)| !is_test(path)) {
        let code = code(text);
        for (word, why) in FORBIDDEN {
            assert!(!code.contains(word), "{}: {word} in the core ({why})", path.display());
        }
    }
}

#[test]
fn layers_of_the_core_point_down_only() {
    // Each layer, with those above it that it must not know.
    const ABOVE: &[(&str, &[&str])] = &[
        ("model", &["cluster", "placement", "claims", "engine"]),
        ("cluster", &["placement", "claims", "engine"]),
        ("placement", &["claims", "engine"]),
        // It looks up what MIG layouts are worth, and knows nothing else of placement; nor of nodes and pods.
        ("claims", &["cluster", "engine"]),
    ];
    for (layer, above) in ABOVE {
        for (path, text) in rust_files(&format!("src/core/{layer}")).iter().filter(|(path, _)| !is_test(path)) {
            let code = code(text);
            for upper in *above {
                assert!(!code.contains(&format!("crate::{upper}")), "{}: {layer} knows {upper}", path.display());
            }
        }
    }
}

#[test]
fn the_core_depends_on_no_adapter() {
    let manifest = fs::read_to_string(root().join("src/core/Cargo.toml")).expect("the core has a manifest");
    for adapter in ["kube", "k8s-openapi", "actix", "tokio", "reqwest", "tracing", "rand"] {
        assert!(!manifest.contains(&format!("\n{adapter}")), "testudo-core depends on {adapter}");
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for folder in ["src", "tests", "e2e", "faults", "benches"] {
        for (path, text) in rust_files(folder) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines: give each idea a file of its own", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (path, text) in rust_files("src").iter().filter(|(path, _)| !is_test(path)) {
        assert!(text.starts_with("//! "), "{} does not start with module documentation", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    for folder in ["src", "tests", "e2e", "faults", "benches"] {
        for (path, text) in rust_files(folder) {
            for word in ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "todo".to_owned() + "!("] {
                assert!(!text.contains(&word), "{}: {word}", path.display());
            }
        }
    }
}
