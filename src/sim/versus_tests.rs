use super::*;
use crate::sim::result::Outcome;

fn policy(name: &str, values: &[f64]) -> PolicyReport {
    let outcome = |(seed, value): (usize, &f64)| Outcome {
        seed: seed as u64,
        measures: Measures { values: vec![(key::ACCEPTED_GPU, *value)], ..Measures::default() },
        series: vec![],
    };
    PolicyReport::new(name, values.iter().enumerate().map(outcome).collect())
}

fn compared(aim: Aim, mut policies: Vec<PolicyReport>) -> Vec<Option<Versus>> {
    compare(&mut policies, aim, |name| name != "bound");
    policies.into_iter().map(|policy| policy.versus).collect()
}

/// Student's own example: hours of sleep gained with one and the other isomer, of ten patients ("The probable error of a
/// mean", 1908). R's `t.test(paired = TRUE)` gives t = -4.0621, df = 9, p = 0.002833 and -2.4598858 to -0.7001142.
#[test]
fn students_sleep_data() {
    let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
    let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
    let stands = compared(CHURN, vec![policy("first", &first), policy("second", &second)]);
    let stand = stands[0].as_ref().expect("ten pairs");
    assert_eq!((stand.policy.as_str(), stand.measure.as_str()), ("second", "accepted_gpu_percent"));
    assert!((stand.difference + 1.58).abs() < 1e-9, "{stand:?}");
    assert!((stand.ci95[0] + 2.459_885_8).abs() < 1e-6 && (stand.ci95[1] + 0.700_114_2).abs() < 1e-6, "{stand:?}");
    assert!((stand.p - 0.002_833).abs() < 5e-7, "{stand:?}");
    assert_eq!(
        serde_json::to_string(stand).unwrap(),
        r#"{"policy":"second","measure":"accepted_gpu_percent","difference":-1.58,"ci95":[-2.46,-0.7],"p":0.00283}"#
    );
    // Seen from the other side.
    let other = stands[1].as_ref().expect("ten pairs");
    assert_eq!((other.difference, other.p), (-stand.difference, stand.p));
}

#[test]
fn each_stands_against_the_best_other_but_not_against_a_bound() {
    let policies = || vec![policy("a", &[1.0, 2.0]), policy("b", &[3.0, 3.5]), policy("bound", &[9.0, 8.0])];
    let rivals = |aim| -> Vec<String> {
        compared(aim, policies()).into_iter().map(|stand| stand.expect("two seeds").policy).collect()
    };
    assert_eq!(rivals(CHURN), ["b", "a", "b"]);
    // Where less is better.
    let four = || [policies(), vec![policy("c", &[2.5, 2.5])]].concat();
    let low: Vec<String> =
        compared(Aim::Low(key::ACCEPTED_GPU), four()).into_iter().map(|s| s.unwrap().policy).collect();
    assert_eq!(low, ["c", "a", "a", "a"]);
}

#[test]
fn what_cannot_be_compared_is_left_out() {
    assert_eq!(compared(CHURN, vec![policy("a", &[1.0]), policy("b", &[2.0])]), [None, None]);
    assert_eq!(compared(CHURN, vec![policy("a", &[1.0, 2.0])]), [None]);
    assert_eq!(compared(CHURN, vec![policy("a", &[1.0, 2.0]), policy("bound", &[2.0, 3.0])])[0], None);
    assert_eq!(compared(Aim::Allocated, vec![policy("a", &[1.0, 2.0]), policy("b", &[2.0, 3.0])]), [None, None]);
    assert_eq!(compared(CHURN, vec![]), []);
}

#[test]
fn differences_without_variance() {
    let test = |differences: &[f64]| PairedTest::of(differences).expect("two differences");
    assert_eq!(test(&[0.0, 0.0]), PairedTest { mean: 0.0, ci95: [0.0, 0.0], p: 1.0 });
    assert_eq!(test(&[2.0, 2.0]), PairedTest { mean: 2.0, ci95: [2.0, 2.0], p: 0.0 });
}

#[test]
fn allocation_is_compared_at_the_highest_load() {
    let at = |name: &str, values: [f64; 2]| {
        let mut policy = policy(name, &values);
        for outcome in &mut policy.seeds {
            let value = outcome.measures.get(key::ACCEPTED_GPU).unwrap();
            outcome.measures.allocated_percent = vec![("95".into(), 95.0), ("130".into(), value)];
        }
        PolicyReport::new(name, policy.seeds)
    };
    let stands = compared(Aim::Allocated, vec![at("a", [90.0, 91.0]), at("b", [92.0, 94.0])]);
    let stand = stands[0].as_ref().unwrap();
    assert_eq!((stand.measure.as_str(), stand.difference), ("allocated_percent.130", -2.5));
}
