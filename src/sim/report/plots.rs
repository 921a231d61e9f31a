//! Which plots a report has.

use super::super::result::Report;
use super::course::{Course, Quantity, courses};
use super::words::{Caption, KNOWN, caption};

/// One plot: a quantity over load or time, with a line for each policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Its name among files: lower-case letters, digits and hyphens.
    pub id: String,
    /// What is said about it.
    pub caption: Caption,
    /// What is below the horizontal axis.
    pub over: &'static str,
    /// The lines.
    pub courses: Vec<Course>,
    /// The vertical axis need not begin at zero.
    pub close_up: bool,
    /// There are only whole numbers.
    pub counts: bool,
}

/// The plots of a report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plots {
    /// In order.
    pub plots: Vec<Plot>,
    /// Titles of those that would show zero throughout.
    pub all_zero: Vec<String>,
}

/// From which load on the differences between policies are looked at closely: before it, all is placed by any of them.
const CLOSE_UP_FROM: f64 = 80.0;

impl Plots {
    /// Every quantity that the runs of a report measured in their course.
    pub fn of(report: &Report) -> Self {
        let mut quantities: Vec<(Quantity, Vec<Course>)> = courses(report).into_iter().collect();
        let place = |field: &str| KNOWN.iter().position(|known| *known == field).unwrap_or(KNOWN.len());
        // The sort is stable: what is not known stays in the order of names.
        quantities.sort_by_key(|(quantity, _)| place(&quantity.field));
        let mut all = Self::default();
        for (quantity, mut courses) in quantities {
            let caption = caption(&quantity.field, quantity.part());
            if courses.iter().flat_map(|course| &course.samples).all(|sample| sample.high == 0.0 && sample.low == 0.0) {
                all.all_zero.push(caption.title);
                continue;
            }
            let over = over(&report.mode, &mut courses);
            let counts = ["waiting", "free_sets"].contains(&quantity.field.as_str());
            let plot = Plot { id: id(&quantity), caption, over, courses, close_up: false, counts };
            let close_up =
                (report.mode == "inflation" && quantity.field == "allocated_percent").then(|| close_up(&plot));
            all.plots.push(plot);
            all.plots.extend(close_up.flatten());
        }
        all
    }
}

fn id(quantity: &Quantity) -> String {
    let name = format!("{}-{}", quantity.field.trim_end_matches("_percent"), quantity.part().unwrap_or_default());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect::<String>().trim_matches('-').to_owned()
}

/// The same where it is nearly full; none where it never is.
fn close_up(plot: &Plot) -> Option<Plot> {
    let mut close = plot.clone();
    close.id.push_str("-close-up");
    close.caption.title.push_str(", close up");
    close.caption.note =
        format!("The same from a load of {CLOSE_UP_FROM} % on. The vertical axis does not begin at zero.");
    close.close_up = true;
    close.courses.iter_mut().for_each(|course| course.samples.retain(|sample| sample.at >= CLOSE_UP_FROM));
    close.courses.iter().all(|course| course.samples.len() > 1).then_some(close)
}

/// What `at` means. Seconds become a unit in which there are not too many of them.
fn over(mode: &str, courses: &mut [Course]) -> &'static str {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "time, days"), (3600.0, "time, hours"), (60.0, "time, minutes")];
    match mode {
        "inflation" => "arrived load, % of all accelerators",
        "churn" => "time, in mean durations",
        "replay" => {
            let last = courses.iter().flat_map(|course| &course.samples).map(|sample| sample.at).fold(0.0, f64::max);
            let unit = UNITS.into_iter().find(|(seconds, _)| last > 3.0 * seconds);
            let (seconds, name) = unit.unwrap_or((1.0, "time, seconds"));
            courses.iter_mut().flat_map(|course| &mut course.samples).for_each(|sample| sample.at /= seconds);
            name
        }
        _ => "time",
    }
}
