//! MIG instances that come and go: the call that others script against.

use serde_json::Value;

use super::bad_input::{holds, refusal};
use super::{report, simulate, written};

/// The call as it is scripted, on fewer GPUs and for a shorter time.
const CALL: &str = "--gpus 20 --product A100-40GB --mode churn --load 1.0 \
    --mix 1g=.2,1g+2mem=.2,2g=.15,3g=.15,4g=.15,7g=.15 --horizon 6 --warmup 2";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"))
}

fn policy<'r>(report: &'r Value, name: &str) -> &'r Value {
    report["policies"].as_array().unwrap().iter().find(|policy| policy["name"] == name).expect(name)
}

#[test]
fn scripts_find_seeds_means_and_who_is_ahead() {
    let report = report(&format!("{CALL} --policy testudo,first-fit,best-fit,mfi,fgd --seeds 1-2"));
    let policies = report["policies"].as_array().unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["testudo", "first-fit", "best-fit", "mfi", "fgd"]);
    for policy in policies {
        let seeds = policy["seeds"].as_array().unwrap();
        assert_eq!(seeds.iter().map(|run| run["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
        for run in seeds {
            let of = |key: &str| number(&run[key]);
            assert!(of("accepted_slice_percent") > 60.0, "{run:#}");
            assert!(of("accepted_slice_percent") + of("rejected_by_fragmentation_percent") <= 100.001, "{run:#}");
            assert!((60.0..=100.0).contains(&number(&run["allocated_percent"]["mean"])), "{run:#}");
            assert!(run.get("series").is_none());
        }
        for key in ["accepted_slice_percent", "rejected_by_fragmentation_percent"] {
            let mean = (number(&seeds[0][key]) + number(&seeds[1][key])) / 2.0;
            assert!((number(&policy["mean"][key]) - mean).abs() < 0.002, "{key} of {policy:#}");
        }
        let by_profile = policy["mean"]["accepted_percent_by_profile"].as_object().unwrap();
        assert_eq!(by_profile.keys().collect::<Vec<_>>(), ["1g", "1g+2mem", "2g", "3g", "4g", "7g"]);
        assert!(number(&by_profile["1g"]) > number(&by_profile["7g"]), "large instances are harder to place");
        let versus = &policy["versus"];
        assert_eq!(versus["measure"], "accepted_slice_percent");
        let rival = &policies.iter().find(|other| other["name"] == versus["policy"]).unwrap()["mean"];
        let mean = |measures: &Value| number(&measures["accepted_slice_percent"]);
        assert!((number(&versus["difference"]) - mean(&policy["mean"]) + mean(rival)).abs() < 0.003, "{policy:#}");
        assert!((0.0..=1.0).contains(&number(&versus["p"])));
    }
    assert!(number(&policy(&report, "first-fit")["versus"]["difference"]) < 0.0);
    assert_eq!(report["setting"]["mix"], "1g=0.2,1g+2mem=0.2,2g=0.15,3g=0.15,4g=0.15,7g=0.15");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    // Of a product with few layouts: without optimisation the values of the others take their time.
    let call = "--gpus 30 --product A30 --mix 1g=2,2g=1,4g=1 --horizon 8 --warmup 2 --policy testudo,random,mfi";
    let run =
        |threads: u8, output: &str| written(&simulate(&format!("{call} --seeds 1-2 --threads {threads} {output}")));
    let alone = run(1, "-o json --series");
    assert_eq!(alone, run(2, "-o json --series"));
    let report: Value = serde_json::from_str(&alone).unwrap();
    let series = report["policies"][0]["seeds"][0]["series"].as_array().unwrap();
    assert!((100..=200).contains(&series.len()), "{}", series.len());
    assert!(series.iter().any(|point| number(&point["fragmentation_by_profile"]["4g"]) > 0.0));
    assert_eq!(run(1, ""), run(2, ""));
}

#[test]
fn every_policy_has_its_row_by_the_name_it_was_asked_for() {
    let all = ["random", "dra-first-fit", "best-fit", "spread", "mfi", "fgd", "hami-like", "testudo", "pool"];
    let call = "--gpus 10 --product NVIDIA-A30 --mix 1g=2,2g=1,4g=1 --horizon 8 --warmup 2 --seeds 1-3";
    let report = report(&format!("{call} --policy {}", all.join(",")));
    let names: Vec<&str> = report["policies"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, all);
    assert_eq!(
        (&report["setting"]["product"], &report["setting"]["mix"]),
        (&"A30-24GB".into(), &"1g=0.5,2g=0.25,4g=0.25".into())
    );
    // The bound is ahead of all, and the rival of none.
    let accepted = |name: &str| number(&policy(&report, name)["mean"]["accepted_slice_percent"]);
    for name in all {
        assert!(accepted("pool") >= accepted(name), "{report:#}");
        assert_ne!(policy(&report, name)["versus"]["policy"], "pool");
    }
    let table = written(&simulate(&format!("{call} --policy pool,hami")));
    assert!(table.contains("\n pool ") && table.contains("\n hami "), "{table}");
    assert!(table.contains("slices accepted % of each policy and the best other one, paired by seed:"), "{table}");
    let alias = super::report(&format!("{call} --policy first-fit,hami"));
    for (name, alias_of) in [("dra-first-fit", "first-fit"), ("hami-like", "hami")] {
        assert_eq!(policy(&report, name)["seeds"], policy(&alias, alias_of)["seeds"]);
    }
}

#[test]
fn what_cannot_be_right_is_refused_with_what_could() {
    let known: &[&str] = &["A100-40GB (", "A30-24GB (A30)", "H100-80GB (H100-80GB-HBM3"];
    holds(&refusal("--gpus 10"), &[&["which GPUs? Give --product"], known].concat());
    holds(&refusal("--gpus 10 --product A200"), &[&["--product: there is no product \"A200\""], known].concat());
    holds(&refusal("--gpus 10 --product L4"), &[&["--product: product \"L4\" cannot be cut"], known].concat());
    let cases: [(&str, &[&str]); 18] = [
        ("", &["which instances come? Give --mix", "A30-24GB has 1g, 1g+me, 2g, 2g+me, 4g"]),
        ("--mix 7g=1", &["--mix: A30-24GB has no profile \"7g\"; it has 1g,"]),
        ("--mix 1g", &["--mix: \"1g\" is not of the form"]),
        ("--mix=", &["--mix: \"\" is not of the form"]),
        ("--mix 1g=.5,1g=.5", &["--mix: profile \"1g\" is named twice"]),
        ("--mix 1g=-1", &["--mix: weight \"-1\" is not a number above 0"]),
        ("--mix 1g=1e308,2g=1e308", &["--mix: weight \"1e308\" is not a number above 0 and at most"]),
        ("--mix 1g=1 --policy gpu-packing", &["\"gpu-packing\" places pods on nodes (--nodes", "for MIG", "hami-like"]),
        ("--mix 1g=1 --policy foo", &["there is no policy \"foo\" for MIG instances; there are random, first-fit,"]),
        ("--mix 1g=1 --policy hami,hami-like", &["names a policy twice"]),
        ("--mix 1g=1 --mode replay", &["--mode replay is for nodes and pods", "--mode churn"]),
        ("--mix 1g=1 --mode inflation", &["--mode inflation is for nodes and pods"]),
        ("--mix 1g=1 --warmup 60", &["--warmup must be shorter than --horizon"]),
        ("--mix 1g=1 --horizon 1000000 --load 10", &["instances arrive in each run", "lower --gpus"]),
        ("--mix 1g=1 --ties fixed", &["--gpus", "cannot be used with", "--ties"]),
        ("--mix 1g=1 --fleet 3", &["--gpus", "cannot be used with", "--fleet"]),
        ("--mix 1g=1 --nodes NODES", &["--gpus", "cannot be used with", "--nodes"]),
        ("--mix 1g=1 --pods PODS", &["--gpus", "cannot be used with", "--pods"]),
    ];
    for (flags, parts) in cases {
        holds(&refusal(&format!("--gpus 10000 --product A30 {flags}")), parts);
    }
    holds(&refusal("--gpus 0 --product A30 --mix 1g=1"), &["--gpus", "1..=10000"]);
    holds(
        &refusal("--fleet 3 --policy mfi"),
        &["\"mfi\" places MIG instances (--gpus", "pods there are testudo,", "fgd"],
    );
    holds(&refusal("--fleet 3 --mix 1g=1"), &["--product and --mix belong to --gpus"]);
}
