//! Transcripts of the command line: what is typed, what is answered, and the exit status, for every command, bad input
//! included. `TRYCMD=overwrite cargo test --test cli` writes them anew.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cli/transcripts/*.trycmd");
}

/// Called by another name it is a plugin of kubectl.
#[cfg(unix)]
#[test]
fn the_plugin_speaks_for_itself() {
    let link = std::env::temp_dir().join(format!("testudo-plugin-{}", std::process::id()));
    std::fs::create_dir_all(&link).expect("a folder");
    let plugin = link.join("kubectl-testudo");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_testudo"), &plugin).expect("a link");
    let help = std::process::Command::new(&plugin).args(["top", "--help"]).output().expect("it runs");
    std::fs::remove_dir_all(&link).expect("the folder");
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(help.contains("Usage: kubectl testudo top"), "{help}");
}
