//! Bad input is refused with file, line and what to do, and exit code 2.

use super::reports::tempdir;
use super::{extract, simulate};

/// What is said against these arguments.
pub fn refusal(arguments: &str) -> String {
    let output = simulate(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments}: {error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments}");
    error
}

const HEADER: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time\n";

/// What is said against pods with this text.
fn against_pods(name: &str, text: &str) -> String {
    let file = tempdir(name).join("pods.csv");
    std::fs::write(&file, text).unwrap();
    refusal(&format!("--nodes NODES --pods {} --policy fgd", file.display()))
}

/// What is said against nodes with this text.
fn against_nodes(name: &str, text: &str) -> String {
    let file = tempdir(name).join("nodes.csv");
    std::fs::write(&file, text).unwrap();
    refusal(&format!("--nodes {} --pods PODS --policy fgd", file.display()))
}

pub fn holds(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn rows_that_cannot_be_right() {
    let cases: [(&str, &str, &[&str]); 11] = [
        ("negative", "a,-1000,1,0,0,,,", &["pods.csv:2:", "column cpu_milli", "\"-1000\" is below 0"]),
        (
            "word",
            "ok,1,1,0,0,,,\nb,1,lots,0,0,,,",
            &["pods.csv:3:", "column memory_mib", "\"lots\" is no whole number"],
        ),
        ("fraction", "a,1.5,1,0,0,,,", &["pods.csv:2:", "column cpu_milli", "\"1.5\" is no whole number"]),
        ("huge", "a,99999999999999999999,1,0,0,,,", &["pods.csv:2:", "column cpu_milli"]),
        ("blank", "a,,1,0,0,,,", &["pods.csv:2:", "column cpu_milli: is empty"]),
        ("nameless", ",1,1,0,0,,,", &["pods.csv:2:", "column name: is empty"]),
        ("unknown-gpu", "a,1,1,1,1000,T4|H900,,", &["pods.csv:2:", "gpu_spec of a", "\"H900\"", "V100M32"]),
        ("shares", "a,1,1,2,500,,,", &["pods.csv:2:", "num_gpu 2 with gpu_milli 500", "a share of one GPU"]),
        ("ragged", "a,1,1", &["pods.csv:2:", "has 3 fields, but the header names 8 columns"]),
        ("twice", "a,1,1,0,0,,,\n\na,2,1,0,0,,,", &["pods.csv:4:", "pod a is there twice, first on line 2"]),
        ("backwards", "a,1,1,0,0,,9,3", &["pods.csv:2:", "deletion_time 3 is before creation_time 9"]),
    ];
    for (name, rows, parts) in cases {
        holds(&against_pods(name, &format!("{HEADER}{rows}\n")), parts);
    }
}

#[test]
fn files_that_cannot_be_right() {
    holds(
        &against_pods("no-column", "name,cpu_milli,memory_mib\na,1,1\n"),
        &["pods.csv:1:", "column num_gpu is missing"],
    );
    holds(&against_pods("empty", ""), &["pods.csv:1:", "is empty"]);
    holds(&against_pods("no-rows", HEADER), &["pods.csv:", "has a header but no rows"]);
    let gpus = "sn,cpu_milli,memory_mib,gpu,model\n";
    holds(&against_nodes("many", &format!("{gpus}n,1,1,65,T4\n")), &["nodes.csv:2:", "node n has 65 GPUs"]);
    holds(&against_nodes("less", &format!("{gpus}n,1,1,-2,T4\n")), &["nodes.csv:2:", "column gpu", "below 0"]);
    holds(
        &against_nodes("no-model", "sn,cpu_milli,memory_mib,gpu\nn,1,1,2\n"),
        &["nodes.csv:1:", "column model is missing"],
    );
    holds(&refusal("--nodes NODES --pods no/such.csv"), &["no/such.csv: cannot be read", "No such file"]);
    holds(&refusal("--nodes NODES"), &["which pods?", "--pods"]);
    holds(&refusal("--policy fgd"), &["which nodes?", "--nodes", "--fleet"]);
    // Latin-1 in a trace.
    let file = tempdir("latin").join("pods.csv");
    std::fs::write(&file, [HEADER.as_bytes(), b"caf\xe9,1,1,0,0,,,\n"].concat()).unwrap();
    holds(&refusal(&format!("--nodes NODES --pods {}", file.display())), &["pods.csv:2:", "UTF-8"]);
}

#[test]
fn a_file_of_a_gigabyte() {
    let file = tempdir("large").join("pods.csv");
    // Sparse: it takes no room.
    std::fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    holds(&refusal(&format!("--nodes NODES --pods {}", file.display())), &["pods.csv: is larger than 268435456 bytes"]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_nothing_can_be_simulated_with() {
    let cpu_only = format!("{HEADER}a,1000,1,0,0,,,\n");
    holds(&against_pods("cpu-only", &cpu_only), &["no pod asks for an accelerator"]);
    let nodes = "sn,cpu_milli,memory_mib,gpu,model\nn,64000,1,0,\n";
    let file = tempdir("cpu-nodes");
    std::fs::write(file.join("nodes.csv"), nodes).unwrap();
    std::fs::write(file.join("pods.csv"), format!("{HEADER}a,1,1,1,1000,,,\n")).unwrap();
    let (nodes, pods) = (file.join("nodes.csv"), file.join("pods.csv"));
    let error = refusal(&format!("--nodes {} --pods {}", nodes.display(), pods.display()));
    holds(&error, &["no node has an accelerator"]);
    let timeless = format!("{HEADER}a,1,1,1,1000,,,\n");
    std::fs::write(file.join("pods.csv"), timeless).unwrap();
    let error = refusal(&format!("--nodes NODES --pods {} --mode replay", pods.display()));
    holds(&error, &["Pod default/a has no creation time", "--mode inflation"]);
}

#[test]
fn manifests_that_cannot_be_right() {
    let file = tempdir("manifest").join("pods.yaml");
    let pod = |cpu: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n\
             spec: {{containers: [{{name: c, resources: {{requests: {{cpu: {cpu}}}}}}}]}}\n"
        )
    };
    let against = |text: &str| {
        std::fs::write(&file, text).unwrap();
        refusal(&format!("--nodes NODES --pods {}", file.display()))
    };
    holds(&against(&pod("-1")), &["pods.yaml: Pod default/p", "cpu", "below 0"]);
    holds(&against(&format!("{}---\n{}", pod("1"), pod("2"))), &["Pod default/p", "twice"]);
    holds(&against("kind: Pod\n  metadata: [\n"), &["pods.yaml:"]);
    holds(&against("kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\n"), &["pods.yaml: holds no pod"]);
}

#[test]
fn flags_that_cannot_be_right() {
    let trace = "--nodes NODES --pods PODS";
    let cases: [(&str, &[&str]); 11] = [
        ("--seeds 9-3", &["9-3 ends before it begins", "3-9"]),
        ("--seeds one", &["\"one\" is no seed"]),
        ("--policy fdg", &["no policy \"fdg\"", "testudo", "gpu-clustering", "fgd"]),
        ("--policy fgd,fgd", &["names a policy twice"]),
        ("--mode inflate", &["inflate", "inflation", "churn", "replay"]),
        ("--ties none", &["none", "random", "fixed"]),
        ("--load -1", &["--load"]),
        ("--load 1000", &["--load", "at most 10"]),
        ("--mode replay --load 1", &["--mode replay takes the load from the time stamps"]),
        ("--mode churn --warmup 60", &["--warmup must be shorter than --horizon"]),
        ("--mode churn --horizon 1000000", &["pods arrive in each run", "lower --load or --horizon"]),
    ];
    for (flags, parts) in cases {
        holds(&refusal(&format!("{trace} {flags}")), parts);
    }
    assert!(extract("nodes.csv").exists());
}
