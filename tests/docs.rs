//! The documentation beside what it speaks of: files that it links exist, commands and flags that it shows exist, and the page
//! of annotations has every name that the program knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder whose name ends so.
fn files(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, suffix, found);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
}

/// Every page, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = vec![workspace().join("README.md"), workspace().join("e2e/README.md")];
    for folder in ["docs", "policies"] {
        files(&workspace().join(folder), ".md", &mut pages);
    }
    assert!(pages.len() > 8, "{pages:?}");
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The lines of a page that stand in blocks of code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with("    ")).map(str::trim)
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for (page, text) in pages() {
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}, which there is not", page.display());
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

/// A heading as GitHub makes an anchor of it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Those of alerts, which people follow at night.
#[test]
fn runbooks_of_alerts_exist() {
    let page = fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#')));
    let anchors: BTreeSet<String> = headings.collect();
    let alerts = fs::read_to_string(workspace().join("deploy/chart/testudo/files/alerts.yaml")).unwrap();
    let mut seen = 0;
    for line in alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")) {
        let wanted = line.split_once("docs/operations.md#").unwrap().1;
        assert!(anchors.contains(wanted), "docs/operations.md has no heading for {wanted}: {anchors:?}");
        seen += 1;
    }
    assert_eq!(seen, alerts.matches("- alert:").count(), "an alert without a runbook");
}

#[test]
fn files_in_commands_exist() {
    let mut seen = 0;
    for (page, text) in pages() {
        let words = code(&text).filter(|line| {
            line.starts_with("kubectl ")
                || line.starts_with("helm ")
                || line.starts_with("kind ")
                || line.starts_with("eksctl ")
        });
        for word in words
            .flat_map(str::split_whitespace)
            .filter(|word| word.starts_with("deploy/") || word.starts_with("policies/"))
        {
            if word.chars().any(|c| c.is_ascii_uppercase()) || word.ends_with("deployment/testudo") {
                continue;
            }
            assert!(workspace().join(word).exists(), "{}: {word}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

/// `testudo ...` lines name subcommands and flags that there are.
#[test]
fn commands_of_testudo_exist() {
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for line in code(&text) {
            let line = line.trim_start_matches("$ ");
            let line = line.strip_prefix("target/release/").unwrap_or(line);
            let Some(rest) = line.strip_prefix("testudo ") else { continue };
            let words: Vec<&str> =
                rest.split_whitespace().take_while(|word| !matches!(*word, "|" | ">" | "#" | "&&")).collect();
            let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['[', ']'])).collect();
            let is_name =
                |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            // At most two words are subcommands; what follows are arguments.
            let nested = ["explain", "claims"];
            let depth = if words.first().is_some_and(|word| nested.contains(word)) { 2 } else { 1 };
            let path: Vec<String> =
                words.iter().take_while(is_name).take(depth).map(|word| (*word).to_owned()).collect();
            let help = helps.entry(path.clone()).or_insert_with(|| {
                let output = Command::new(env!("CARGO_BIN_EXE_testudo")).args(&path).arg("--help").output().unwrap();
                assert!(output.status.success(), "{}: there is no `testudo {}`", page.display(), path.join(" "));
                String::from_utf8(output.stdout).unwrap()
            });
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(help.contains(flag), "{}: `testudo {}` has no {flag}", page.display(), path.join(" "));
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

/// The names of all functions, and of all scenarios.
fn names_of_tests() -> BTreeSet<String> {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "e2e"] {
        files(&workspace().join(folder), ".rs", &mut sources);
    }
    let names_in = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let names = text.split("fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap_or_default().to_owned());
        // Scenarios have names of their own.
        let quoted = text.split('"').filter(|part| part.contains("::")).map(str::to_owned);
        names.chain(quoted).collect::<Vec<String>>()
    };
    sources.iter().flat_map(names_in).collect()
}

/// Is this a name of a test, as texts write them?
fn is_test(name: &str) -> bool {
    (name.contains("::") || !name.contains(['/', ' ', '.', ':'])) && name.matches('_').count() >= 3
}

/// What the threat model says is shown by a test is shown by one.
#[test]
fn tests_that_the_threat_model_names_exist() {
    let known = names_of_tests();
    let page = fs::read_to_string(workspace().join("docs/threat-model.md")).unwrap();
    let mut seen = 0;
    for name in page.split('`').skip(1).step_by(2).filter(|name| is_test(name)) {
        let last = name.rsplit("::").next().unwrap_or_default();
        assert!(known.contains(name) || known.contains(last), "docs/threat-model.md: there is no test {name}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_threat_names_the_test_that_shows_it_is_kept_off() {
    let page = fs::read_to_string(workspace().join("docs/threat-model.md")).unwrap();
    let mut seen = 0;
    for table in page.split("\n\n").filter(|block| block.lines().next().is_some_and(|line| line.ends_with("kept by |")))
    {
        for row in table.lines().skip(2) {
            let is_shown = row.split('`').skip(1).step_by(2).any(is_test);
            assert!(is_shown || row.contains("**not kept.**"), "docs/threat-model.md names no test: {row}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// Limits are constants of the program: by row of the page, what it says, and where that stands.
#[test]
fn limits_are_those_of_the_program() {
    const LIMITS: [(&str, &str, &str, &str); 14] = [
        ("nodes in one request", "20,000", "src/extender/server.rs", "max_nodes: 20_000,"),
        ("body of a request", "96 MB", "src/extender/server.rs", "body_limit_bytes: 96_000_000,"),
        ("requests that are answered at a time", "64", "src/extender/server.rs", "max_in_flight: 64,"),
        ("connections", "1,024", "src/extender/server.rs", "max_connections: 1024,"),
        ("connections", "512", "src/web/server.rs", "MAX_CONNECTIONS: usize = 512;"),
        ("time for filter and prioritize", "1 s", "src/extender/server.rs", "request_timeout: Duration::from_secs(1),"),
        ("members of a gang", "10,000", "src/core/engine/gangs/roster.rs", "MAX_SEATS: u32 = 10_000;"),
        ("places kept for members", "256", "src/core/engine/policy.rs", "max_expected: 256,"),
        ("devices of a claim", "32", "src/core/claims/claim.rs", "MAX_DEVICES: usize = 32;"),
        ("devices of a machine", "16", "src/core/model/fabric/mod.rs", "MAX_DEVICES: usize = 16;"),
        ("GPUs of a node that are shared", "32", "src/core/model/gpu_share.rs", "MAX_SHARED_GPUS: usize = 32;"),
        ("profiles of a placement policy", "64", "src/policy/file.rs", "MAX_PROFILES: usize = 64;"),
        ("nodes by which a group", "512", "src/plan/growth.rs", "MAX_MORE: usize = 512;"),
        ("values of a label in metrics", "64", "src/metrics/gauges.rs", "MAX_VALUES: usize = 64;"),
    ];
    let page = fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    for (what, limit, file, constant) in LIMITS {
        let row = page.lines().find(|line| line.starts_with(&format!("| {what}")));
        assert!(
            row.is_some_and(|row| row.contains(limit)),
            "docs/operations.md does not say {limit} of {what}: {row:?}"
        );
        let source = fs::read_to_string(workspace().join(file)).unwrap();
        assert!(source.contains(constant), "{file} does not have `{constant}`: is docs/operations.md still true?");
    }
}

/// What `testudo` is asked in the documentation about a cluster is asked about one that has what is spoken of. Commands without
/// a file are told of one: there is no cluster here.
#[test]
fn commands_of_testudo_run() {
    const ASKED: [&str; 5] = ["explain", "plan", "top", "snapshot", "claims"];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs");
    fs::create_dir_all(&folder).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_testudo")).args(arguments).current_dir(&folder).output().unwrap()
    };
    for (from, to) in [
        ("tests/fixtures/docs/cluster.yaml", "cluster.yaml"),
        ("tests/cli/input/deployment.yaml", "deployment.yaml"),
        ("tests/cli/input/prices.yaml", "prices.yaml"),
        ("docs/examples/claims.yaml", "docs/examples/claims.yaml"),
    ] {
        let to = folder.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(workspace().join(from), to).unwrap();
    }
    assert!(run(&["snapshot", "cluster.json.gz", "-f", "cluster.yaml"]).status.success());
    let mut seen = BTreeSet::new();
    for (page, text) in pages() {
        for line in code(&text) {
            let line = line.trim_start_matches("$ ").split(" #").next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("target/release/").unwrap_or(line).strip_prefix("testudo ") else {
                continue;
            };
            let mut words: Vec<&str> = rest.split_whitespace().collect();
            // Words in capitals stand for something, brackets for what may be left out.
            let is_form = |word: &&str| {
                word.starts_with('[') || (word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '/'))
            };
            if !ASKED.contains(&words[0]) || words.iter().any(is_form) {
                continue;
            }
            let names_its_input = words.contains(&"cluster.json.gz") && words[0] != "snapshot";
            if !names_its_input && words[0] != "claims" {
                words.extend(["-f", "cluster.yaml"]);
            }
            let output = run(&words);
            // 1 is an answer, too: no.
            let code = output.status.code();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(code, Some(0 | 1)), "{}: `{line}` ended with {code:?}: {said}", page.display());
            assert!(words[0] == "snapshot" || !output.stdout.is_empty(), "{}: `{line}` says nothing", page.display());
            seen.insert(words[0].to_owned());
        }
    }
    assert_eq!(seen, ASKED.map(str::to_owned).into(), "not all sorts of commands are shown");
}

/// All names under `testudo.dev/` that stand in a text between these quotes. `testudo.dev/v1` is the version of an API.
fn names(text: &str, quote: char) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split(quote) {
        let name = part.split(':').next().unwrap_or_default();
        let Some(rest) = name.strip_prefix("testudo.dev/") else { continue };
        let is_version = rest.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !rest.is_empty() && !is_version && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn every_name_is_on_the_page_of_annotations() {
    let page = fs::read_to_string(workspace().join("docs/annotations.md")).unwrap();
    let documented = names(&page, '`');
    let mut sources = Vec::new();
    files(&workspace().join("src"), ".rs", &mut sources);
    let mut known = BTreeSet::new();
    for source in sources {
        known.extend(names(&fs::read_to_string(&source).unwrap(), '"'));
    }
    assert!(known.len() > 10, "{known:?}");
    let missing: Vec<&String> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/annotations.md does not have {missing:?}");
    // What the program does not know is of policies and of the chart.
    let mut shipped = Vec::new();
    for folder in ["policies", "deploy"] {
        files(&workspace().join(folder), ".yaml", &mut shipped);
    }
    let shipped: String = shipped.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let stale: Vec<&String> = documented.difference(&known).filter(|name| !shipped.contains(name.as_str())).collect();
    assert!(stale.is_empty(), "docs/annotations.md has {stale:?}, which nothing knows");
}
