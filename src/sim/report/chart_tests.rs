use super::super::words::Caption;
use super::*;

fn sample(at: f64, mean: f64, low: f64, high: f64) -> Sample {
    Sample { at, mean, low, high }
}

fn course(number: usize, policy: &str, samples: &[Sample]) -> Course {
    Course { number, policy: policy.into(), samples: samples.to_vec() }
}

fn plot(courses: Vec<Course>) -> Plot {
    let caption = Caption { title: "Allocated".into(), unit: "% of <all>".into(), note: String::new() };
    Plot { id: "allocated".into(), caption, over: "load & time", courses, close_up: false, counts: false }
}

fn count(svg: &str, what: &str) -> usize {
    svg.matches(what).count()
}

/// The points of the first element of this name.
fn points(svg: &str, element: &str) -> Vec<(f64, f64)> {
    let (_, element) = svg.split_once(&format!("<{element} ")).expect("the element");
    let (_, points) = element.split_once("points=\"").expect("its points");
    let (points, _) = points.split_once('"').expect("the end of them");
    let number = |text: &str| text.parse::<f64>().expect("a number");
    points.split(' ').map(|spot| spot.split_once(',').expect("x,y")).map(|(x, y)| (number(x), number(y))).collect()
}

#[test]
fn a_chart_has_a_line_and_a_name_for_each_policy() {
    let fgd = course(0, "fgd", &[sample(0.0, 0.0, 0.0, 0.0), sample(130.0, 90.0, 85.0, 95.0)]);
    let random = course(1, "random", &[sample(0.0, 0.0, 0.0, 0.0), sample(130.0, 50.0, 50.0, 50.0)]);
    let svg = svg(&plot(vec![fgd, random]), false).into_string();
    assert_eq!(count(&svg, "<polyline "), 2, "{svg}");
    assert_eq!(count(&svg, "<polygon "), 1, "one of them varies: {svg}");
    for label in [">fgd</text>", ">random</text>", ">100</text>", ">120</text>", "load &amp; time", "% of &lt;all&gt;"]
    {
        assert!(svg.contains(label), "no {label} in {svg}");
    }
    assert!(svg.contains("random: from 0 at 0 to 50 at 130."), "{svg}");
    // From the lower left to nine tenths of the height.
    let line = points(&svg, "polyline");
    assert_eq!(line[0], (LEFT, BOTTOM));
    assert!((line[1].1 - (BOTTOM - 0.9 * (BOTTOM - TOP))).abs() < 0.06, "{line:?}");
    // Forth along the most, back along the least.
    let band = points(&svg, "polygon");
    assert!(band.len() == 4 && band[1].0 == band[2].0 && band[1].1 < line[1].1 && band[2].1 > line[1].1, "{band:?}");
}

#[test]
fn whatever_was_measured_is_inside_the_picture() {
    let odd: [&[Sample]; 6] = [
        &[],
        &[sample(0.0, 0.0, 0.0, 0.0)],
        &[sample(5.0, 5.0, 5.0, 5.0), sample(5.0, 5.0, 5.0, 5.0)],
        &[sample(1.0, f64::NAN, 0.0, 1.0), sample(2.0, 1.0, 1.0, f64::INFINITY), sample(3.0, 1.0, 1.0, 1.0)],
        &[sample(0.0, -3.0, -4.0, -2.0), sample(1.0, 1e12, 1e12, 1e12)],
        &[sample(0.0, 1e-9, 0.0, 1e-9), sample(1e-3, 0.0, 0.0, 0.0)],
    ];
    for samples in odd {
        for (close_up, counts) in [(false, false), (true, false), (false, true)] {
            let svg = svg(&Plot { close_up, counts, ..plot(vec![course(0, "a", samples)]) }, true).into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{samples:?}");
            for (x, y) in samples.iter().take(1).flat_map(|_| points(&svg, "polyline")) {
                assert!((LEFT..=WIDTH).contains(&x) && (TOP - 0.1..=BOTTOM + 0.1).contains(&y), "{x},{y}: {samples:?}");
            }
        }
    }
}

#[test]
fn names_do_not_lie_on_each_other_and_stay_near_their_lines() {
    let ends = |ends: &[f64]| -> (Vec<f64>, Vec<f64>) {
        let course = |(number, end): (usize, &f64)| {
            course(number, "policy", &[sample(0.0, 0.0, 0.0, 0.0), sample(1.0, *end, *end, *end)])
        };
        let courses: Vec<Course> = ends.iter().enumerate().map(course).collect();
        let frame = Frame::around(&plot(courses.clone()));
        (frame.names(&courses), ends.iter().map(|end| frame.y(*end)).collect())
    };
    for all in [&[5.0; 10][..], &[0.0; 4], &[10.0, 9.9, 5.0, 0.1, 0.0, 9.8], &[1.0], &[]] {
        let (mut names, _) = ends(all);
        names.sort_by(f64::total_cmp);
        assert!(names.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{all:?}: {names:?}");
        assert!(names.iter().all(|y| (0.0..=BOTTOM).contains(y)), "{all:?}: {names:?}");
    }
    let (names, lines) = ends(&[10.0, 5.0, 1.0]);
    assert_eq!(names, lines, "there is room");
    let (names, lines) = ends(&[5.0, 5.0]);
    assert_eq!((names[0] + names[1]) / 2.0, lines[0], "one above, one below");
}

#[test]
fn numbers_are_short() {
    assert_eq!([short(90.0), short(0.126), short(-0.001), short(1200.5)], ["90", "0.13", "0", "1200.5"]);
}
