//! What is generated from the command line's own definition: completions, man pages, the reference in `docs/cli.md`.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::output::stdout;
use super::{Cli, Outcome};

/// Flags of `testudo completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "For bash: source <(testudo completion bash)")]
pub struct CompletionArgs {
    /// Which shell.
    shell: Shell,
}

/// Flags of `testudo man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder that the pages are written to, one for each command; made where it is missing.
    folder: PathBuf,
}

/// Prints completions.
pub fn completion(args: &CompletionArgs) -> anyhow::Result<Outcome> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "testudo", &mut script);
    stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// Writes man pages.
pub fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make the folder {folder}"))?;
    clap_mangen::generate_to(Cli::command(), &args.folder).with_context(|| format!("cannot write to {folder}"))?;
    Ok(Outcome::Done)
}

/// Prints the reference.
pub fn reference() -> anyhow::Result<Outcome> {
    stdout().write_all(markdown().as_bytes())?;
    Ok(Outcome::Done)
}

/// The help of all commands, one after the other.
fn markdown() -> String {
    let mut text = String::from(
        "# Commands\n\nGenerated from the program: `testudo reference > docs/cli.md`. Exit 0 is done or yes, 1 is no (it does \
         not fit), 2 is an error.\nAs `kubectl-testudo` (a link to the same program in your `PATH`) all of them are commands of \
         kubectl: `kubectl testudo top`.\n",
    );
    let mut cli = Cli::command().term_width(100).disable_help_subcommand(true);
    cli.build();
    describe(&mut cli, &mut text);
    text
}

fn describe(command: &mut Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("testudo").to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing to a text cannot fail.
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    let shown = command.get_subcommands_mut().filter(|command| !command.is_hide_set());
    shown.for_each(|command| describe(command, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == markdown(), "docs/cli.md is out of date: run `testudo reference > docs/cli.md`");
    }

    #[test]
    fn every_command_has_a_page_and_completions() {
        let folder = std::env::temp_dir().join(format!("testudo-man-{}", std::process::id()));
        man(&ManArgs { folder: folder.clone() }).unwrap();
        let page = std::fs::read_to_string(folder.join("testudo-explain-pod.1")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(page.contains("all\\-nodes"), "{page}");
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Cli::command(), "testudo", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("anonymise"), "{shell}");
        }
    }
}
