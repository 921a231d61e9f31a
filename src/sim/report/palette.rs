//! Colours that stay apart for colour-blind eyes, on light and on dark.
//!
//! They follow Okabe and Ito ("Color Universal Design"), without their yellow, which is lost on white, and with lighter
//! tones on dark. Where there are more lines than colours, the second round is dashed.

use std::fmt::Write;

/// Each colour on light and on dark.
const COLOURS: [(&str, &str); 7] = [
    ("#0072b2", "#56a8e0"),
    ("#d55e00", "#f58a4b"),
    ("#009e73", "#30c79b"),
    ("#b8528f", "#e59cc8"),
    ("#8a6d00", "#e8c547"),
    ("#3fa7d6", "#a5dcf7"),
    ("#555555", "#c4c4c4"),
];

/// How a line is told from those of the same colour: as a stroke, and as a border.
const DASHES: [(&str, &str); 3] = [("none", "solid"), ("6 3", "dashed"), ("2 3", "dotted")];

/// The class of the line with this number.
pub fn class(number: usize) -> String {
    format!("s{}", number % (COLOURS.len() * DASHES.len()))
}

/// The style sheet of all lines, and of text and paper around them. Goes with every picture, as pictures also stand alone.
pub fn css() -> String {
    let mut css = String::from(CHART_CSS);
    let mut dark = String::from(DARK_CSS);
    for (round, (dash, border)) in DASHES.iter().enumerate() {
        for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
            let class = class(round * COLOURS.len() + number);
            // Writing to a string does not fail.
            let _ = writeln!(css, ".{class}{{color:{on_light};stroke-dasharray:{dash};border-style:{border}}}");
            let _ = writeln!(dark, ".{class}{{color:{on_dark}}}");
        }
    }
    format!("{css}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

const CHART_CSS: &str = "\
.chart{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;font-size:12px}
.chart text{fill:#333}
.chart .title{font-size:15px;font-weight:600;fill:#111}
.chart .unit{fill:#5a5a5a}
.chart .paper{fill:#fff}
.chart .grid{stroke:#e3e3e3;stroke-width:1}
.chart .axis{stroke:#777;stroke-width:1}
.chart .line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.chart .band{fill:currentColor;fill-opacity:.16;stroke:none}
.chart .lead{fill:none;stroke:currentColor;stroke-width:.8;stroke-dasharray:none;stroke-opacity:.7}
.chart .dot{fill:currentColor;stroke:none}
.chart .name{fill:currentColor;font-weight:600}
";

const DARK_CSS: &str = "\
.chart text{fill:#d6d6d6}
.chart .title{fill:#f2f2f2}
.chart .unit{fill:#a8a8a8}
.chart .paper{fill:#16181c}
.chart .grid{stroke:#2c3038}
.chart .axis{stroke:#8a8f98}
.chart .name{fill:currentColor}
";
