//! A line chart in SVG.
//!
//! One picture serves everywhere: in a page and on its own, on light and on dark, on a wide screen and on a phone. So it
//! is small and its letters are large, lines are named where they end, and it carries its own style.

use maud::{Markup, PreEscaped, html};

use super::axis::Axis;
use super::course::{Course, Sample};
use super::palette;
use super::plots::Plot;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = HEIGHT - 42.0;
const LEFT: f64 = 44.0;
/// About how wide a letter of a name is.
const LETTER: f64 = 6.8;
/// How far a name is from the end of its line.
const LEAD: f64 = 16.0;
/// How far names are apart.
const NAME_HEIGHT: f64 = 14.0;

/// The picture of a plot. Alone it is a file; in a page, the page has the style already.
pub fn svg(plot: &Plot, alone: bool) -> Markup {
    let frame = Frame::around(plot);
    let (title, about) = (format!("{}-title", plot.id), format!("{}-about", plot.id));
    html! {
        svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox=(format!("0 0 {WIDTH} {HEIGHT}"))
            width=[alone.then_some(WIDTH)] height=[alone.then_some(HEIGHT)] aria-labelledby=(format!("{title} {about}")) {
            title id=(title) { (plot.caption.title) }
            desc id=(about) { (description(plot)) }
            @if alone { style { (PreEscaped(palette::css())) } }
            rect class="paper" width="100%" height="100%" {}
            text class="title" x="10" y="20" { (plot.caption.title) }
            text class="unit" x="10" y="38" { (plot.caption.unit) }
            (frame.axes(plot.over))
            @for course in &plot.courses { (frame.band(course)) }
            @for course in &plot.courses { (frame.line(course)) }
            @for (course, y) in plot.courses.iter().zip(frame.names(&plot.courses)) { (frame.name(course, y)) }
        }
    }
}

/// A file with the picture.
pub fn file(plot: &Plot) -> String {
    format!("{}\n", svg(plot, true).into_string())
}

/// For those who do not see it: where each line begins and ends.
fn description(plot: &Plot) -> String {
    let lines = plot.courses.iter().filter_map(|course| {
        let (first, last) = (drawn(course).next()?, drawn(course).last()?);
        let (from, to) = (short(first.mean), short(last.mean));
        Some(format!("{}: from {from} at {} to {to} at {}.", course.policy, short(first.at), short(last.at)))
    });
    let unit = format!("{} over {}.", plot.caption.unit, plot.over);
    std::iter::once(unit).chain(lines).collect::<Vec<String>>().join(" ")
}

/// A number that is read, with at most two digits behind the point.
pub fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Where things are in the picture.
struct Frame {
    x: Axis,
    y: Axis,
    right: f64,
}

impl Frame {
    fn around(plot: &Plot) -> Self {
        let samples = || plot.courses.iter().flat_map(drawn);
        let least = |of: fn(&Sample) -> f64| samples().map(of).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&Sample) -> f64| samples().map(of).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = (least(|sample| sample.low), most(|sample| sample.high));
        let (low, from) = if plot.close_up { (low, least(|sample| sample.at)) } else { (low.min(0.0), 0.0) };
        let letters = plot.courses.iter().map(|course| course.policy.chars().count()).max().unwrap_or(0);
        Self {
            x: Axis::along(from, most(|sample| sample.at)),
            y: if plot.counts { Axis::around_counts(low, high) } else { Axis::around(low, high) },
            right: WIDTH - LEAD - 10.0 - (letters as f64 * LETTER).min(WIDTH / 3.0),
        }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + self.x.share(at) * (self.right - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.share(value) * (BOTTOM - TOP)
    }

    fn spot(&self, at: f64, value: f64) -> String {
        format!("{:.1},{:.1}", self.x(at), self.y(value))
    }

    fn axes(&self, over: &str) -> Markup {
        let number = |value: f64| format!("{value:.1}");
        html! {
            @for (value, label) in self.y.marks() {
                @let y = self.y(value);
                line class="grid" x1=(LEFT) x2=(number(self.right)) y1=(number(y)) y2=(number(y)) {}
                text x=(LEFT - 6.0) y=(number(y + 4.0)) text-anchor="end" { (label) }
            }
            line class="axis" x1=(LEFT) x2=(number(self.right)) y1=(BOTTOM) y2=(BOTTOM) {}
            @for (value, label) in self.x.marks() {
                @let x = number(self.x(value));
                line class="axis" x1=(x) x2=(x) y1=(BOTTOM) y2=(BOTTOM + 4.0) {}
                text x=(x) y=(BOTTOM + 17.0) text-anchor="middle" { (label) }
            }
            text class="unit" x=(number((LEFT + self.right) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (over) }
        }
    }

    /// From the least to the most of the runs; nothing where they are one.
    fn band(&self, course: &Course) -> Markup {
        let above = drawn(course).map(|sample| self.spot(sample.at, sample.high));
        let below = drawn(course).map(|sample| self.spot(sample.at, sample.low));
        let points: Vec<String> = above.chain(below.collect::<Vec<_>>().into_iter().rev()).collect();
        html! {
            @if drawn(course).any(|sample| sample.high > sample.low) {
                polygon class=(format!("band {}", palette::class(course.number))) points=(points.join(" ")) {}
            }
        }
    }

    fn line(&self, course: &Course) -> Markup {
        let points: Vec<String> = drawn(course).map(|sample| self.spot(sample.at, sample.mean)).collect();
        html! {
            polyline class=(format!("line {}", palette::class(course.number))) points=(points.join(" ")) {
                title { (course.policy) }
            }
        }
    }

    /// How high the name of each line is: beside its end, or as near as the others let it.
    fn names(&self, courses: &[Course]) -> Vec<f64> {
        let end = |course: &Course| drawn(course).last().map_or(BOTTOM, |sample| self.y(sample.mean));
        let mut by_height: Vec<(usize, f64)> = courses.iter().map(end).enumerate().collect();
        by_height.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        // Names that would touch become one stack, around the middle of where they would be.
        let below_top = |middle: f64, names: usize| middle.max(TOP + (names as f64 - 3.0) * NAME_HEIGHT / 2.0);
        let mut stacks: Vec<(f64, Vec<usize>)> = vec![];
        for (number, y) in by_height {
            let (mut middle, mut names) = (below_top(y, 1), vec![number]);
            while let Some((above, others)) = stacks
                .pop_if(|(above, others)| middle - *above < (others.len() + names.len()) as f64 * NAME_HEIGHT / 2.0)
            {
                let (there, here) = (others.len() as f64, names.len() as f64);
                middle = (above * there + middle * here) / (there + here);
                names = [others, names].concat();
                middle = below_top(middle, names.len());
            }
            stacks.push((middle, names));
        }
        let mut heights = vec![0.0; courses.len()];
        let mut lowest = BOTTOM;
        for (middle, names) in stacks.into_iter().rev() {
            let height = (names.len() - 1) as f64 * NAME_HEIGHT;
            let top = (middle - height / 2.0).min(lowest - height);
            lowest = top - NAME_HEIGHT;
            for (place, number) in names.into_iter().enumerate() {
                heights[number] = top + place as f64 * NAME_HEIGHT;
            }
        }
        heights
    }

    fn name(&self, course: &Course, y: f64) -> Markup {
        let class = palette::class(course.number);
        html! {
            @if let Some(last) = drawn(course).last() {
                @let (end_x, end_y) = (self.x(last.at), self.y(last.mean));
                circle class=(format!("dot {class}")) cx=(format!("{end_x:.1}")) cy=(format!("{end_y:.1}")) r="2.6" {}
                path class=(format!("lead {class}"))
                    d=(format!("M{:.1},{end_y:.1}L{:.1},{y:.1}", end_x + 3.0, self.right + LEAD - 3.0)) {}
                text class=(format!("name {class}")) x=(format!("{:.1}", self.right + LEAD)) y=(format!("{:.1}", y + 4.0)) {
                    (course.policy)
                }
            }
        }
    }
}

/// What can be drawn: a number that is none has no place.
fn drawn(course: &Course) -> impl Iterator<Item = &Sample> {
    course
        .samples
        .iter()
        .filter(|sample| [sample.at, sample.mean, sample.low, sample.high].iter().all(|v| v.is_finite()))
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;
