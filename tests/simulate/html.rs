//! Reports to look at.

use std::path::Path;

use super::reports::tempdir;
use super::{simulate, written};

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

const RUNS: &str = "--nodes NODES --pods PODS --policy testudo,fgd,best-fit --seeds 1-2";

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let folder = tempdir("html");
    let file = folder.join("report <b>.html");
    let output = super::simulate_with(RUNS, &["--html", file.to_str().unwrap()]);
    assert!(written(&output).contains("\n fgd "), "the table is written too");
    let page = read(&file);
    assert!(page.starts_with("<!DOCTYPE html>"));
    // Each word is an element, so that lines break between them.
    let command = page.replace("<span>", "").replace("</span>", "");
    for part in [" simulate --nodes ", " --policy testudo,fgd,best-fit --seeds 1-2 --html '", "/report &lt;b&gt;.html'"]
    {
        assert!(command.contains(part), "no {part} in the command");
    }
    for policy in ["testudo", "fgd", "best-fit"] {
        assert!(page.contains(&format!("<th scope=\"row\">{policy}</th>")), "no row of {policy}");
        assert!(page.contains(&format!("<title>{policy}</title>")), "no line of {policy}");
    }
    // Allocated, the same close up, fragmentation, refused, and free sets of 1, 2, 4 and 8 GPUs.
    assert_eq!(page.matches("<svg ").count(), 8);
    assert!(page.contains("Zero throughout: Waiting."));
    let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for address in ["http://", "https://", "<script", "<link", "<img", "@import", "url("] {
        assert!(!without_namespace.contains(address), "{address}");
    }
    assert!(!page.contains("NaN"));
}

#[test]
fn the_same_run_gives_the_same_page() {
    let file = tempdir("html-again").join("report.html");
    let mut pages = [1, 2].map(|threads| {
        written(&simulate(&format!(
            "{RUNS} --threads {threads} --mode churn --horizon 3 --warmup 1 --html {}",
            file.display()
        )));
        read(&file).replace(&format!("<span>--threads</span> <span>{threads}</span>"), "")
    });
    assert!(pages[0].contains("in mean durations"));
    let first = std::mem::take(&mut pages[0]);
    assert!(first == pages[1], "the pages differ");
}

#[test]
fn waiting_is_plotted_where_pods_wait() {
    let folder = tempdir("svg");
    written(&simulate(&format!(
        "--nodes NODES --pods PODS --policy fgd,spread --mode replay --svg {}",
        folder.join("new").display()
    )));
    let picture = read(&folder.join("new/allocated.svg"));
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && picture.contains("<style>"));
    assert_eq!(picture.matches("<polyline ").count(), 2);
    assert!(picture.contains("time, days"));
    assert!(read(&folder.join("new/free-sets-8.svg")).contains("Sets of 8 free GPUs"));
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_the_work() {
    for (flag, what) in [("--html", "no/such/report.html"), ("--svg", "/dev/null/pictures")] {
        let output = simulate(&format!("{RUNS} {flag} {what}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(flag) && error.contains(what) && error.contains("cannot be"), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn mig_instances_have_a_plot_for_each_profile() {
    let folder = tempdir("html-mig");
    let file = folder.join("report.html");
    let call = "--gpus 10 --product A30 --mix 1g=2,4g=1 --horizon 8 --warmup 2 --policy testudo,mfi --seeds 1-2";
    written(&simulate(&format!("{call} --html {} --svg {}", file.display(), folder.display())));
    let page = read(&file);
    for part in ["Free, but useless to 4g", ">4g\naccepted %</th>", ">testudo</text>", ">mfi</text>"] {
        assert!(page.contains(part), "no {part}");
    }
    assert_eq!(read(&folder.join("fragmentation-by-profile-4g.svg")).matches("<polyline ").count(), 2);
}
