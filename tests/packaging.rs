//! What a release is made of fits together: the context of the image has all that cargo reads, and the plugin's manifest and
//! the chart are of this version and name what the workflow makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// What `.dockerignore` lets through, in a folder of its own.
fn image_context() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-context");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    let ignored = read(".dockerignore");
    assert!(ignored.lines().any(|line| line == "*"), "everything is left out but what is named");
    for path in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        copy(&workspace().join(path), &folder.join(path));
    }
    folder
}

/// cargo reads the manifests of the whole workspace, and looks for the files of the targets that they name.
#[test]
fn the_context_of_the_image_is_all_that_cargo_needs() {
    let folder = image_context();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--no-deps", "--locked", "--offline", "--format-version=1"]).current_dir(&folder);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets =
        metadata["packages"].as_array().unwrap().iter().flat_map(|package| package["targets"].as_array().unwrap());
    let wanted = ["lib", "bin"];
    let mut seen = 0;
    for target in targets.filter(|target| wanted.iter().any(|kind| target["kind"][0] == *kind)) {
        let path = target["src_path"].as_str().unwrap();
        assert!(Path::new(path).exists(), "{path}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
    // What is compiled in from outside of src.
    for (path, text) in sources(&folder.join("src")) {
        for included in text.split("include_str!(\"").skip(1).chain(text.split("include_bytes!(\"").skip(1)) {
            let included = included.split('"').next().unwrap();
            assert!(path.parent().unwrap().join(included).exists(), "{}: {included}", path.display());
        }
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.to_string_lossy().contains("tests")
        {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn the_plugin_and_the_chart_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let plugin = read("deploy/krew/testudo.yaml");
    assert!(plugin.contains(&format!("version: v{version}\n")));
    let chart = read("deploy/chart/testudo/Chart.yaml");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")));
    let workflow = read(".github/workflows/release.yaml");
    for arch in ["amd64", "arm64"] {
        assert!(plugin.contains(&format!("/v{version}/testudo-linux-{arch}.tar.gz")), "{arch}");
        assert!(workflow.contains(&format!("arch: {arch}")), "{arch}");
    }
    assert!(workflow.contains("testudo-linux-${{ matrix.arch }}.tar.gz"));
}

/// What krew's index checks before it takes a plugin (krew, `internal/index/validation`), and what an archive has to have.
#[test]
fn krew_would_take_the_plugin() {
    let plugin: Value = serde_saphyr::from_str(&read("deploy/krew/testudo.yaml")).unwrap();
    let text = |at: &str| plugin.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("no {at}"));
    assert_eq!(text("/apiVersion"), "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(text("/kind"), "Plugin");
    let name = text("/metadata/name");
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{name}");
    let version = text("/spec/version").strip_prefix('v').expect("a v before the version");
    let numbers: Vec<&str> = version.split('.').collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok()), "{version}");
    let short = text("/spec/shortDescription");
    assert!(!short.is_empty() && short.len() <= 50 && !short.contains('\n'), "{short}");
    assert!(text("/spec/homepage").starts_with("https://") && !text("/spec/description").is_empty());
    let known = ["apiVersion", "kind", "metadata", "spec"];
    assert!(
        plugin.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())),
        "krew refuses fields it does not know"
    );
    let platforms = plugin.pointer("/spec/platforms").and_then(Value::as_array).expect("platforms");
    assert!(!platforms.is_empty());
    for platform in platforms {
        let labels = platform.pointer("/selector/matchLabels").and_then(Value::as_object).expect("labels");
        assert!(labels.keys().all(|key| key == "os" || key == "arch"), "{labels:?}");
        let keys: Vec<&str> = platform.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys.len(), 4, "{keys:?}");
        let (uri, sum) = (platform["uri"].as_str().unwrap(), platform["sha256"].as_str().unwrap());
        assert!(uri.starts_with("https://") && uri.ends_with(".tar.gz"), "{uri}");
        assert!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()), "{sum}");
        // At the top of the archive, beside the licence, which krew asks for.
        assert_eq!(platform["bin"], "testudo");
    }
    assert!(read(".github/workflows/release.yaml").contains(".tar.gz testudo LICENSE\n"));
}

/// The workflow writes versions and checksums into the plugin's manifest with sed; what it looks for is there.
#[test]
fn the_workflow_finds_what_it_fills_in() {
    let plugin = read("deploy/krew/testudo.yaml");
    let lines: Vec<&str> = plugin.lines().collect();
    let mut seen = 0;
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains("testudo-linux-")) {
        assert!(lines[at + 1].trim().starts_with("sha256: \""), "the checksum follows the archive: {}", lines[at + 1]);
        seen += 1;
    }
    assert_eq!(seen, 2);
}
