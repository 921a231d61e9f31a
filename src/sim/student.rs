//! Student's t distribution, as far as a paired test of two policies needs it.
//!
//! With `d` degrees of freedom, |t| is above a value with probability I(d / (d + t²); d/2, 1/2), where I is the
//! regularised incomplete beta function (Abramowitz and Stegun, 26.7.1 and 26.5.27). It is worked out from its continued
//! fraction, so that small probabilities keep their digits, which 1 minus something near 1 would lose.

use std::f64::consts::PI;

/// How likely a value at least as far from 0 as `t` is, to either side. `freedom` is the number of degrees of freedom, at
/// least 1.
pub fn two_sided_p(t: f64, freedom: usize) -> f64 {
    let (d, square) = (freedom as f64, t * t);
    if !square.is_finite() {
        return 0.0;
    }
    let (a, b) = (d / 2.0, 0.5);
    let (x, rest) = (d / (d + square), square / (d + square));
    let front = (a * x.ln() + b * rest.ln()).exp() / beta_with_half(freedom);
    // The fraction converges fast on this side of the mean of the distribution, on the other its mirror image does.
    let p = if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(rest, b, a) / b
    };
    p.clamp(0.0, 1.0)
}

/// The value that |t| is above with probability `p`, which is above 0 and below 1: with 0.05, half the width of a 95 %
/// confidence interval in standard errors.
pub fn critical_value(p: f64, freedom: usize) -> f64 {
    let mut high = 1.0;
    while two_sided_p(high, freedom) > p {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Each step halves the interval, and a number has 53 bits.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if two_sided_p(middle, freedom) > p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The beta function B(d/2, 1/2): from B(1/2, 1/2) = π or B(1, 1/2) = 2 by B(a+1, b) = B(a, b) · a / (a+b).
fn beta_with_half(freedom: usize) -> f64 {
    let (mut a, mut beta) = if freedom % 2 == 1 { (0.5, PI) } else { (1.0, 2.0) };
    while a < freedom as f64 / 2.0 {
        beta *= a / (a + 0.5);
        a += 1.0;
    }
    beta
}

/// The continued fraction 26.5.8, evaluated from the front by the method of Lentz.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_0 = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away_from_0(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for m in (1..=10_000).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / away_from_0(1.0 + term * d);
            c = away_from_0(1.0 + term / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-15 * value.abs() {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of critical values as in any textbook (Fisher and Yates, table III): degrees of freedom, then the values
    /// that |t| is above with these probabilities.
    const PROBABILITIES: [f64; 5] = [0.5, 0.10, 0.05, 0.01, 0.001];
    const TABLE: [(usize, [f64; 5]); 8] = [
        (1, [1.000, 6.314, 12.706, 63.657, 636.619]),
        (2, [0.816, 2.920, 4.303, 9.925, 31.599]),
        (5, [0.727, 2.015, 2.571, 4.032, 6.869]),
        (9, [0.703, 1.833, 2.262, 3.250, 4.781]),
        (10, [0.700, 1.812, 2.228, 3.169, 4.587]),
        (30, [0.683, 1.697, 2.042, 2.750, 3.646]),
        (60, [0.679, 1.671, 2.000, 2.660, 3.460]),
        (120, [0.677, 1.658, 1.980, 2.617, 3.373]),
    ];

    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (freedom, row) in TABLE {
            for (p, value) in PROBABILITIES.into_iter().zip(row) {
                let found = critical_value(p, freedom);
                assert!((found - value).abs() <= 0.000_51, "{freedom} degrees, {p}: {found}, not {value}");
            }
        }
    }

    #[test]
    fn probabilities_follow_the_closed_forms() {
        for t in [0.001, 0.1, 0.9, 1.0, 3.0, 40.0, 1e6_f64] {
            // One degree of freedom is the Cauchy distribution; with two it is algebraic.
            let one = 2.0 * (1.0 / t).atan() / PI;
            let root = (2.0 + t * t).sqrt();
            let two = 2.0 / (root * (root + t));
            for (freedom, expected) in [(1, one), (2, two)] {
                let found = two_sided_p(t, freedom);
                assert!((found / expected - 1.0).abs() < 1e-12, "{freedom} degrees, {t}: {found}, not {expected}");
                assert_eq!(found, two_sided_p(-t, freedom));
            }
        }
    }

    #[test]
    fn the_ends_are_certain() {
        for freedom in [1, 2, 7, 10_000] {
            assert_eq!(two_sided_p(0.0, freedom), 1.0);
            assert_eq!(two_sided_p(f64::INFINITY, freedom), 0.0);
        }
        // Of many degrees it is the normal distribution.
        assert!((critical_value(0.05, 1_000_000) - 1.959_964).abs() < 1e-4);
    }
}
