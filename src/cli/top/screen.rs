//! The live view: drawn anew every few moments until somebody presses `q`. Tables that are too long are scrolled.

use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};

use super::answer::{Answer, GANG_COLUMNS, POOL_COLUMNS};
use super::scroll::{Part, Scroll};

/// Shows what `look` answers until somebody wants to stop.
///
/// # Errors
/// When the terminal cannot be used.
pub fn show(source: &str, interval: Duration, mut look: impl FnMut() -> Answer) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init().context("cannot use the terminal; testudo top --once prints a table")?;
    let result = (|| {
        let mut scroll = Scroll::default();
        loop {
            let answer = look();
            let next = Instant::now() + interval;
            terminal.draw(|frame| draw(frame, source, &answer, &mut scroll))?;
            loop {
                let wait = next.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
                if event::poll(wait)? {
                    match event::read()? {
                        Event::Key(key) if is_end(key.code, key.modifiers) => return Ok(()),
                        Event::Key(key) if key.is_press() && scroll.press(key.code) => {}
                        Event::Resize(..) => {}
                        _ => continue,
                    }
                    terminal.draw(|frame| draw(frame, source, &answer, &mut scroll))?;
                }
            }
        }
    })();
    ratatui::restore();
    result
}

fn is_end(key: KeyCode, modifiers: KeyModifiers) -> bool {
    let is_interrupt = key == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key, KeyCode::Char('q') | KeyCode::Esc)
}

fn draw(frame: &mut Frame<'_>, source: &str, answer: &Answer, scroll: &mut Scroll) {
    let mut pools = answer.pool_rows();
    // Where there are many pools, gangs still have their part of the screen.
    let wanted = u16::try_from(pools.len()).unwrap_or(u16::MAX).saturating_add(2);
    let heights = [
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(wanted.min(frame.area().height / 2)),
        Constraint::Min(4),
        Constraint::Length(1),
    ];
    let [head, bar, words, fleet, gangs, foot] = Layout::vertical(heights).areas(frame.area());
    let dim = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Paragraph::new(vec![Line::from(answer.nodes()), Line::from(answer.cost())]), head);
    frame.render_widget(shares(answer, usize::from(bar.width)), bar);
    frame.render_widget(Paragraph::new(key(answer)).wrap(Wrap { trim: true }), words);
    let widths = [
        Constraint::Max(30),
        Constraint::Length(15),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(10),
    ];
    let rows = scroll.rows(Part::Pools, pools.len(), rows_in(fleet));
    table(frame, fleet, &POOL_COLUMNS, 2, pools.drain(rows), &widths);
    let widths = [
        Constraint::Length(28),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(16),
        Constraint::Min(20),
    ];
    let mut waiting = answer.gang_rows();
    let rows = scroll.rows(Part::Gangs, waiting.len(), rows_in(gangs));
    if waiting.is_empty() {
        frame.render_widget(Paragraph::new("No gang waits.").style(dim), gangs);
    } else {
        table(frame, gangs, &GANG_COLUMNS, usize::MAX, waiting.drain(rows), &widths);
    }
    let place = scroll.place().map(|place| format!("   {place}")).unwrap_or_default();
    let placed = format!("{source}   {} gangs have places{place}   q to quit", answer.placed_gangs());
    frame.render_widget(Line::from(placed).style(dim), foot);
}

/// For how many rows there is room beside the header.
fn rows_in(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(1))
}

/// The colour of each state of devices.
const COLOURS: [Color; 6] = [Color::Green, Color::Yellow, Color::DarkGray, Color::Magenta, Color::Blue, Color::Red];

/// All devices as one bar, each state with its share of it.
fn shares(answer: &Answer, width: usize) -> Line<'static> {
    let states = answer.states();
    let all: f64 = states.iter().map(|(_, devices)| devices).sum::<f64>().max(1.0);
    let mut drawn = 0;
    let mut sum = 0.0;
    let spans = states.iter().zip(COLOURS).map(|((_, devices), colour)| {
        sum += devices;
        // By the end of each, so that all together are as wide as the bar.
        let end = (sum / all * width as f64).round() as usize;
        let cells = end.saturating_sub(drawn);
        drawn = end;
        Span::styled("█".repeat(cells), Style::new().fg(colour))
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// What the colours of the bar mean, with the numbers.
fn key(answer: &Answer) -> Line<'static> {
    let states = answer.states();
    let spans = states.iter().zip(COLOURS).flat_map(|((name, devices), colour)| {
        [Span::styled("█ ", Style::new().fg(colour)), Span::raw(format!("{devices} {name}   "))]
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// A table whose columns from this one on are numbers.
fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[&'static str],
    numbers_from: usize,
    rows: impl Iterator<Item = Vec<String>>,
    widths: &[Constraint],
) {
    let cell = |(at, text): (usize, String)| {
        let line = Line::from(text);
        if at >= numbers_from { line.right_aligned() } else { line }
    };
    let header = columns.iter().map(|column| (*column).to_owned()).enumerate().map(cell);
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = rows.map(|row| Row::new(row.into_iter().enumerate().map(cell).collect::<Vec<_>>()));
    frame.render_widget(Table::new(rows, widths.iter().copied()).header(header), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::source::host_of;
    use crate::k8s::manifests::{Limits, Reader};
    use crate::overview::Overview;

    fn answer() -> Answer {
        answer_of(&["p5", "p5"])
    }

    /// A node in each of these node groups, and a gang that waits.
    fn answer_of(groups: &[&str]) -> Answer {
        let node = |(at, group): (usize, &&str)| {
            let amounts = "{cpu: \"64\", memory: 512Gi, pods: \"110\", nvidia.com/gpu: \"8\"}";
            format!(
                "---\n{{apiVersion: v1, kind: Node, metadata: {{name: node-{at}, labels: {{eks.amazonaws.com/nodegroup: {group}, \
                 nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}}}, status: {{capacity: {amounts}, allocatable: \
                 {amounts}}}}}\n"
            )
        };
        let member = |name: &str| {
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, annotations: {{testudo.dev/pod-group: llama, \
                 testudo.dev/min-member: \"3\"}}}}, spec: {{containers: [{{name: c, resources: {{limits: \
                 {{nvidia.com/gpu: 8}}}}}}]}}}}\n"
            )
        };
        let nodes: String = groups.iter().enumerate().map(node).collect();
        let text = [nodes, member("m-0"), member("m-1"), member("m-2")].concat();
        let mut reader = Reader::new(Limits::default());
        reader.add("test.yaml", text.as_bytes()).unwrap();
        let (snapshot, gangs) = host_of(reader.finish(), Default::default()).unwrap().gangs();
        Answer::new(&Overview::of(&snapshot, gangs), None)
    }

    #[test]
    fn pools_gangs_and_cost_are_on_the_screen() {
        let mut terminal = Terminal::new(TestBackend::new(130, 24)).unwrap();
        let answer = answer();
        terminal.draw(|frame| draw(frame, "cluster.json.gz", &answer, &mut Scroll::default())).unwrap();
        let screen = terminal.backend().to_string();
        for text in [
            "2 nodes with accelerators, 0 without; 16 devices",
            "Per hour, in GPU-hours: ",
            "0 used",
            "H100-80GB-HBM3",
            "default/llama",
            "no places",
            "needs 3 places",
            "cluster.json.gz   0 gangs have places   q to quit",
        ] {
            assert!(screen.contains(text), "{text} is not on\n{screen}");
        }
    }

    #[test]
    fn a_fleet_that_is_larger_than_the_screen_is_scrolled() {
        let groups: Vec<String> = (0..40).map(|at| format!("group-{at:02}")).collect();
        let answer = answer_of(&groups.iter().map(String::as_str).collect::<Vec<_>>());
        let mut terminal = Terminal::new(TestBackend::new(130, 24)).unwrap();
        let mut scroll = Scroll::default();
        let mut screen = |scroll: &mut Scroll| {
            terminal.draw(|frame| draw(frame, "c", &answer, scroll)).unwrap();
            terminal.backend().to_string()
        };
        let first = screen(&mut scroll);
        assert!(first.contains("group-00") && !first.contains("group-39"), "{first}");
        assert!(first.contains("node pools 1-11 of 40 (arrows, PgUp, PgDn)"), "{first}");
        scroll.press(KeyCode::End);
        let last = screen(&mut scroll);
        assert!(last.contains("group-39") && last.contains("POOL") && !last.contains("group-28"), "{last}");
    }

    #[test]
    fn a_small_screen_is_no_error() {
        let answer = answer();
        for (width, height) in [(1, 1), (10, 3), (40, 8)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, "cluster", &answer, &mut Scroll::default())).unwrap();
        }
    }
}
