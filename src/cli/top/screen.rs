//! The live view: drawn anew every few moments until somebody presses `q`.

use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Table, Wrap};

use super::answer::{Answer, GANG_COLUMNS, POOL_COLUMNS};

/// Shows what `look` answers until somebody wants to stop.
///
/// # Errors
/// When the terminal cannot be used.
pub fn show(source: &str, interval: Duration, mut look: impl FnMut() -> Answer) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init().context("cannot use the terminal; testudo top --once prints a table")?;
    let result = (|| {
        loop {
            let answer = look();
            let next = Instant::now() + interval;
            terminal.draw(|frame| draw(frame, source, &answer))?;
            loop {
                let wait = next.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
                if event::poll(wait)? {
                    match event::read()? {
                        Event::Key(key) if is_end(key.code, key.modifiers) => return Ok(()),
                        Event::Resize(..) => _ = terminal.draw(|frame| draw(frame, source, &answer))?,
                        _ => {}
                    }
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

fn draw(frame: &mut Frame<'_>, source: &str, answer: &Answer) {
    let pools = answer.pool_rows();
    let heights = [
        Constraint::Length(3),
        Constraint::Length(3),
        Constraint::Length(u16::try_from(pools.len()).unwrap_or(u16::MAX).saturating_add(3)),
        Constraint::Min(4),
        Constraint::Length(1),
    ];
    let [head, used, fleet, gangs, foot] = Layout::vertical(heights).areas(frame.area());
    let lines = vec![Line::from(answer.headline()), Line::from(answer.cost())];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), head);
    let gauge = Gauge::default().block(Block::bordered().title("used")).ratio(answer.used());
    frame.render_widget(gauge.gauge_style(Style::new().fg(Color::Green)), used);
    let widths = [18, 14, 5, 5, 7, 7, 6, 7, 8, 6, 6, 10];
    table(frame, fleet, " node pools ".to_owned(), &POOL_COLUMNS, pools, &widths.map(Constraint::Length));
    let title = format!(" {} gangs have places ", answer.placed_gangs());
    let widths = [
        Constraint::Length(28),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(16),
        Constraint::Min(20),
    ];
    table(frame, gangs, title, &GANG_COLUMNS, answer.gang_rows(), &widths);
    frame.render_widget(
        Line::from(format!("{source}   q to quit")).style(Style::new().add_modifier(Modifier::DIM)),
        foot,
    );
}

fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    columns: &[&'static str],
    rows: Vec<Vec<String>>,
    widths: &[Constraint],
) {
    let header = Row::new(columns.iter().copied()).style(Style::new().add_modifier(Modifier::BOLD));
    let rows = rows.into_iter().map(Row::new);
    let table = Table::new(rows, widths.iter().copied()).header(header).block(Block::bordered().title(title));
    frame.render_widget(table, area);
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
        let node = |name: &str| {
            let amounts = "{cpu: \"64\", memory: 512Gi, pods: \"110\", nvidia.com/gpu: \"8\"}";
            format!(
                "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{eks.amazonaws.com/nodegroup: p5, \
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
        let text = [node("a"), node("b"), member("m-0"), member("m-1"), member("m-2")].concat();
        let mut reader = Reader::new(Limits::default());
        reader.add("test.yaml", text.as_bytes()).unwrap();
        let (snapshot, gangs) = host_of(reader.finish(), Default::default()).unwrap().gangs();
        Answer::new(&Overview::of(&snapshot, gangs), None)
    }

    #[test]
    fn pools_gangs_and_cost_are_on_the_screen() {
        let mut terminal = Terminal::new(TestBackend::new(130, 24)).unwrap();
        let answer = answer();
        terminal.draw(|frame| draw(frame, "cluster.json.gz", &answer)).unwrap();
        let screen = terminal.backend().to_string();
        for text in [
            "2 nodes with accelerators, 0 without; 16 devices: 0 used (0 %)",
            "Per hour, in GPU-hours: ",
            "p5                 H100-80GB-HBM3",
            "default/llama",
            "no places",
            "needs 3 places",
            "cluster.json.gz   q to quit",
        ] {
            assert!(screen.contains(text), "{text} is not on\n{screen}");
        }
    }

    #[test]
    fn a_small_screen_is_no_error() {
        let answer = answer();
        for (width, height) in [(1, 1), (10, 3), (40, 8)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw(frame, "cluster", &answer)).unwrap();
        }
    }
}
