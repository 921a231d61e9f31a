//! Axes with round numbers on them.

/// From where to where, with a mark at each round number.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Where it begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// How far the marks are apart.
    step: f64,
}

/// About how many marks are aimed at.
const MARKS: f64 = 5.0;

impl Axis {
    /// From `low` to `high` and hardly further, for what goes from edge to edge. What has no extent is given some.
    pub fn along(low: f64, high: f64) -> Self {
        Self::with_parts(low, high, 10.0)
    }

    /// Wide enough that all is between two marks.
    pub fn around(low: f64, high: f64) -> Self {
        Self::with_parts(low, high, 1.0)
    }

    /// Begins and ends at one of so many parts of a step.
    fn with_parts(low: f64, high: f64, parts: f64) -> Self {
        let (low, high) = with_extent(low, high);
        let step = round_step((high - low) / MARKS);
        // Without the margin, a high of 100.00000000000001 would need one mark more.
        let (part, margin) = (step / parts, step * 1e-6);
        Self { low: ((low + margin) / part).floor() * part, high: ((high - margin) / part).ceil() * part, step }
    }

    /// The same for what is counted: no marks between whole numbers.
    pub fn around_counts(low: f64, high: f64) -> Self {
        if high - low <= MARKS {
            return Self { low: low.floor(), high: high.ceil().max(low.floor() + 1.0), step: 1.0 };
        }
        Self::around(low, high)
    }

    /// The marks and what is written at them.
    pub fn marks(&self) -> Vec<(f64, String)> {
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        let slack = self.step * 1e-6;
        let (first, last) = (((self.low - slack) / self.step).ceil() as i64, ((self.high + slack) / self.step).floor());
        let at = |mark: i64| mark as f64 * self.step;
        (first..=last as i64).map(|mark| (at(mark), format!("{:.digits$}", at(mark)))).collect()
    }

    /// Where a value is between the ends: 0 to 1.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

fn with_extent(low: f64, high: f64) -> (f64, f64) {
    match (low.is_finite() && high.is_finite(), high > low) {
        (true, true) => (low, high),
        (true, false) => (low, low + low.abs().max(1.0)),
        (false, _) => (0.0, 1.0),
    }
}

/// 1, 2 or 5 times a power of ten, and about as much as this.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let of = [1.0, 2.0, 5.0].into_iter().find(|of| of * power >= rough * 0.7);
    of.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.marks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(labels(&Axis::around(0.0, 97.3)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Axis::around(89.2, 95.1)), ["89", "90", "91", "92", "93", "94", "95", "96"]);
        assert_eq!(labels(&Axis::around(0.0, 0.93)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::around(0.0, 100.000_000_000_000_01)).last().map(String::as_str), Some("100"));
        assert_eq!(labels(&Axis::along(0.65, 129.9)), ["0", "20", "40", "60", "80", "100", "120"]);
        assert_eq!(labels(&Axis::along(80.05, 129.9)), ["80", "90", "100", "110", "120", "130"]);
        assert_eq!(labels(&Axis::around(-3.0, 3.0)), ["-3", "-2", "-1", "0", "1", "2", "3"]);
    }

    #[test]
    fn nothing_is_counted_in_halves() {
        assert_eq!(labels(&Axis::around_counts(0.0, 1.5)), ["0", "1", "2"]);
        assert_eq!(labels(&Axis::around_counts(0.0, 0.0)), ["0", "1"]);
        assert_eq!(
            labels(&Axis::around_counts(0.0, 6212.0)),
            ["0", "1000", "2000", "3000", "4000", "5000", "6000", "7000"]
        );
    }

    #[test]
    fn what_has_no_extent_still_has_an_axis() {
        for axis in [Axis::along(7.0, 7.0), Axis::around(0.0, 0.0), Axis::along(f64::NAN, 1.0)] {
            assert!(axis.high > axis.low && !axis.marks().is_empty(), "{axis:?}");
            assert!((0.0..=1.0).contains(&axis.share(axis.low)));
        }
    }
}
