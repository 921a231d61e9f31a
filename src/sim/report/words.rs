//! What measures are called where people read them.

use super::super::result::key;
use super::super::versus::Versus;

/// The heading of a column; a line break divides it well.
pub fn heading(name: &str) -> String {
    match name {
        key::ACCEPTED_SLICES => "slices\naccepted %",
        key::REJECTED_BY_FRAGMENTATION => "refused by\nfragmentation %",
        key::ACCEPTED => "pods\naccepted %",
        key::ACCEPTED_GPU => "GPUs\naccepted %",
        key::FRAGMENTATION => "free but\nuseless %",
        key::PEAK => "peak\nallocated %",
        key::WAITED => "pods that\nwaited %",
        key::MEAN_WAIT => "mean\nwait s",
        key::LONGEST_WAIT => "longest\nwait s",
        key::NEVER_PLACED => "never\nplaced %",
        key::GANGS_WHOLE => "gangs\nwhole %",
        key::GANGS_HALF => "gangs\nhalf %",
        key::HELD_IN_VAIN => "held by\nhalf gangs %",
        other => other,
    }
    .to_owned()
}

/// The heading of a column with the allocation at a load, or in the mean.
pub fn allocated_heading(load: &str) -> String {
    match load.parse::<u32>() {
        Ok(load) => format!("allocated\n@{load} %"),
        Err(_) => format!("allocated\n{load} %"),
    }
}

/// A measure by which policies are compared, in one line.
pub fn measure(name: &str) -> String {
    let heading = name.strip_prefix("allocated_percent.").map_or_else(|| heading(name), allocated_heading);
    heading.replace('\n', " ")
}

/// How policies are compared, below the name of the measure.
pub const PAIRED: &str = "of each policy and the best other one, paired by seed";

/// What the comparison of a policy with the best other one consists of.
pub const VERSUS: [&str; 5] = ["policy", "best other", "difference", "95 % interval", "p"];

/// The difference, its interval and its p.
pub fn stand(versus: &Versus) -> [String; 3] {
    let [low, high] = versus.ci95;
    let p = if versus.p < 0.001 { "< 0.001".to_owned() } else { format!("{:.3}", versus.p) };
    [format!("{:+.2}", versus.difference), format!("{low:+.2} to {high:+.2}"), p]
}

/// Which end of a measure is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The more, the better.
    Higher,
    /// The less, the better.
    Lower,
}

/// Which end is good; none of a measure that nothing is known about.
pub fn better(name: &str) -> Option<Better> {
    match name {
        key::ACCEPTED_SLICES | key::ACCEPTED | key::ACCEPTED_GPU | key::PEAK | key::GANGS_WHOLE => Some(Better::Higher),
        key::REJECTED_BY_FRAGMENTATION
        | key::FRAGMENTATION
        | key::WAITED
        | key::MEAN_WAIT
        | key::LONGEST_WAIT
        | key::NEVER_PLACED
        | key::GANGS_HALF
        | key::HELD_IN_VAIN => Some(Better::Lower),
        _ => None,
    }
}

/// What a quantity over time is called in a plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The title of the plot.
    pub title: String,
    /// What the vertical axis counts.
    pub unit: String,
    /// What it means.
    pub note: String,
}

/// The quantities of a course that have words of their own, in the order of their plots. Others come after them.
pub const KNOWN: [&str; 7] = [
    "allocated_percent",
    "fragmentation_percent",
    "rejected_by_fragmentation_percent",
    "fragmentation_by_profile",
    "free_sets",
    "waiting",
    "held_by_half_gangs_percent",
];

/// Words for a field of a point, or for one `part` of it.
pub fn caption(field: &str, part: Option<&str>) -> Caption {
    let said = |title: &str, unit: &str, note: &str| Caption {
        title: title.to_owned(),
        unit: unit.to_owned(),
        note: note.to_owned(),
    };
    match (field, part) {
        ("allocated_percent", None) => {
            said("Allocated", "% of all accelerators", "How much of the accelerators is held.")
        }
        ("fragmentation_percent", None) => said(
            "Free, but useless",
            "% of all accelerators",
            "Fragmentation: what is free, but of no use to what typically comes next.",
        ),
        ("rejected_by_fragmentation_percent", None) => said(
            "Refused, though enough was free",
            "% of what has come so far",
            "What was refused though in total enough was free where it is accepted.",
        ),
        ("fragmentation_by_profile", Some(profile)) => said(
            &format!("Free, but useless to {profile}"),
            "% of all accelerators",
            &format!("What is free, but of no use to an instance of the MIG profile {profile}."),
        ),
        ("free_sets", Some("1")) => said("Free GPUs", "GPUs", "GPUs of which nothing is allocated."),
        ("free_sets", Some(size)) => said(
            &format!("Sets of {size} free GPUs"),
            "sets",
            &format!("How many pods with {size} GPUs would find them together on one node."),
        ),
        ("held_by_half_gangs_percent", None) => said(
            "Held in vain",
            "% of all accelerators",
            "What gangs hold of which some members have no place, so that none can start.",
        ),
        ("waiting", None) => said("Waiting", "pods", "Pods that have come and found no place yet."),
        (field, part) => {
            let unit = if field.ends_with("_percent") { "%" } else { "" };
            let words = field.trim_end_matches("_percent").replace('_', " ");
            let title = part.map_or_else(|| words.clone(), |part| format!("{words}: {part}"));
            said(&title, unit, "")
        }
    }
}
