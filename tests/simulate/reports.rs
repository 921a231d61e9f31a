//! What comes out.

use super::{allocated, report, simulate, written};

#[test]
fn scripts_find_seeds_and_means() {
    let report = report(
        "--nodes NODES --pods PODS --mode inflation --load 1.3 --policy testudo,fgd,best-fit --ties random --seeds 42-43",
    );
    let names: Vec<&str> = report["policies"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["testudo", "fgd", "best-fit"]);
    let fgd = &report["policies"][1];
    assert_eq!((fgd["seeds"][0]["seed"].as_u64(), fgd["seeds"][1]["seed"].as_u64()), (Some(42), Some(43)));
    for load in ["95", "100", "105", "110", "120", "130"] {
        let of = |run: &serde_json::Value| run["allocated_percent"][load].as_f64().unwrap();
        let mean = (of(&fgd["seeds"][0]) + of(&fgd["seeds"][1])) / 2.0;
        assert!((of(&fgd["mean"]) - mean).abs() < 0.002);
    }
    assert!(fgd["mean"]["rejected_by_fragmentation_percent"].as_f64().unwrap() > 0.0);
    assert!(fgd["seeds"][0].get("series").is_none());
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let run = |mode: &str, policies: &str, output: &str, threads: u8| {
        written(&simulate(&format!(
            "--nodes NODES --pods PODS --mode {mode} --policy {policies} --seeds 1-2 --threads {threads} -o {output}"
        )))
    };
    for mode in ["inflation", "churn --horizon 3 --warmup 1", "replay"] {
        let (alone, together) =
            (run(mode, "testudo,fgd", "json --series", 1), run(mode, "testudo,fgd", "json --series", 2));
        assert_eq!(alone, together, "{mode}");
        assert_eq!(run(mode, "random,fgd", "table", 1), run(mode, "random,fgd", "table", 2), "{mode}");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let run = |seed: u8| written(&simulate(&format!("--nodes NODES --pods PODS --policy fgd --seeds {seed} -o json")));
    assert_ne!(run(1).replace("\"seed\": 1", ""), run(2).replace("\"seed\": 2", ""));
}

#[test]
fn policies_differ_as_published_and_random_ties_cost_fgd_its_lead() {
    let run = |ties: &str| {
        report(&format!("--nodes NODES --pods PODS --policy fgd,best-fit,random --ties {ties} --seeds 1-4"))
    };
    let (fixed, random) = (run("fixed"), run("random"));
    let at_130 = |report: &serde_json::Value, policy: &str| allocated(report, policy, "130");
    assert!(at_130(&fixed, "fgd") > at_130(&fixed, "best-fit"), "{fixed:#}");
    assert!(at_130(&fixed, "best-fit") > at_130(&fixed, "random") + 4.0, "{fixed:#}");
    assert!(at_130(&fixed, "fgd") > at_130(&random, "fgd") + 2.0, "{fixed:#} {random:#}");
    assert!((at_130(&fixed, "best-fit") - at_130(&random, "best-fit")).abs() < 1.0, "{fixed:#} {random:#}");
}

#[test]
fn a_series_has_a_bounded_number_of_points() {
    let report = report("--nodes NODES --pods PODS --policy fgd --seeds 1 --series");
    let series = report["policies"][0]["seeds"][0]["series"].as_array().unwrap();
    assert!((150..=200).contains(&series.len()), "{}", series.len());
    assert!(series.iter().all(|point| point["fragmentation_percent"].is_number()));
}

#[test]
fn a_table_has_a_row_for_each_policy() {
    let table = written(&simulate("--nodes NODES --pods PODS --policy fgd,spread --mode replay"));
    assert!(table.starts_with("replay: gpus 323, nodes 63, pods 408, ties random; 1 seed\n"), "{table}");
    assert!(!table.contains("paired by seed"), "of one seed nothing follows: {table}");
    assert!(table.contains("\n fgd ") && table.contains("\n spread "), "{table}");
}

#[test]
fn several_seeds_tell_who_is_ahead_and_how_certain_that_is() {
    let arguments = "--nodes NODES --pods PODS --policy best-fit,random --ties fixed --seeds 1-4";
    let report = report(arguments);
    let [best, random] = [0, 1].map(|at| &report["policies"][at]);
    let difference = best["versus"]["difference"].as_f64().unwrap();
    let at =
        |policy: &serde_json::Value, seed: usize| policy["seeds"][seed]["allocated_percent"]["130"].as_f64().unwrap();
    let mean = (0..4).map(|seed| at(best, seed) - at(random, seed)).sum::<f64>() / 4.0;
    assert!((difference - mean).abs() < 0.002, "{report:#}");
    let [low, high] = [0, 1].map(|end| best["versus"]["ci95"][end].as_f64().unwrap());
    assert!(low < difference && difference < high, "{report:#}");
    assert!((0.0..0.05).contains(&best["versus"]["p"].as_f64().unwrap()), "{report:#}");
    assert_eq!(random["versus"]["difference"].as_f64().unwrap(), -difference);
    assert_eq!(random["versus"]["measure"], "allocated_percent.130");
    let table = written(&simulate(arguments));
    assert!(table.contains("allocated @130 % of each policy and the best other one, paired by seed:"), "{table}");
    assert!(table.contains(&format!(" {difference:+.2} ")) && table.contains(" to "), "{table}");
}

#[test]
fn a_generated_fleet_needs_no_files() {
    let report = report("--fleet 30 --policy testudo,spread --load 0.95");
    assert!(allocated(&report, "testudo", "95") > 10.0);
}

#[test]
fn manifests_take_the_same_path_as_a_trace() {
    let folder = tempdir("manifests");
    let file = folder.join("cluster.yaml");
    let node = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{nvidia.com/gpu.product: NVIDIA-L4}}}}\n\
             status: {{allocatable: {{cpu: 32, memory: 64Gi, pods: 110, nvidia.com/gpu: 2}}, \
             capacity: {{cpu: 32, memory: 64Gi, pods: 110, nvidia.com/gpu: 2}}}}\n---\n"
        )
    };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
               spec: {containers: [{name: c, resources: {requests: {cpu: 1}, limits: {nvidia.com/gpu: 1}}}]}\n";
    std::fs::write(&file, format!("{}{}{pod}", node("a"), node("b"))).unwrap();
    let report = report(&format!("--nodes {} --policy testudo,best-fit --load 1", file.display()));
    assert_eq!(allocated(&report, "testudo", "100"), 100.0);
    assert_eq!(allocated(&report, "best-fit", "100"), 100.0);
}

/// An empty folder of this test's own.
pub fn tempdir(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulate-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
