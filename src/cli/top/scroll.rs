//! Which rows are to be seen of tables that are longer than the screen has room for.

use std::ops::Range;

use ratatui::crossterm::event::KeyCode;

/// A table on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What becomes of devices, by node pool.
    Pools,
    /// Gangs that are on their way.
    Gangs,
}

/// What is to be seen of each table.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    pools: Window,
    gangs: Window,
    /// Keys are for the gangs, where both tables are too long.
    is_in_gangs: bool,
}

/// As much of a table as was drawn last.
#[derive(Debug, Default)]
struct Window {
    first: usize,
    room: usize,
    all: usize,
}

impl Window {
    fn is_too_small(&self) -> bool {
        self.all > self.room
    }

    /// The last place that leaves no room empty.
    fn last(&self) -> usize {
        self.all.saturating_sub(self.room)
    }

    fn range(&self) -> Range<usize> {
        self.first..(self.first + self.room).min(self.all)
    }
}

impl Scroll {
    /// Takes a key; says whether it means anything here.
    pub fn press(&mut self, key: KeyCode) -> bool {
        if key == KeyCode::Tab {
            self.is_in_gangs = !self.is_in_gangs;
            return true;
        }
        let part = self.part();
        let window = self.window(part);
        let (last, page) = (window.last(), window.room.saturating_sub(1).max(1));
        window.first = match key {
            KeyCode::Down | KeyCode::Char('j') => window.first + 1,
            KeyCode::Up | KeyCode::Char('k') => window.first.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => window.first + page,
            KeyCode::PageUp => window.first.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return false,
        }
        .min(last);
        true
    }

    /// The rows of a table to draw, which has so many in all and has room for so many. One that has become shorter is shown
    /// to its end.
    pub fn rows(&mut self, part: Part, all: usize, room: usize) -> Range<usize> {
        let window = self.window(part);
        (window.all, window.room) = (all, room);
        window.first = window.first.min(window.last());
        window.range()
    }

    /// What is to be seen, and how to see more; nothing where all is to be seen.
    pub fn place(&self) -> Option<String> {
        let (what, window) = match self.part() {
            Part::Pools => ("node pools", &self.pools),
            Part::Gangs => ("gangs", &self.gangs),
        };
        if !window.is_too_small() {
            return None;
        }
        let (Range { start, end }, all) = (window.range(), window.all);
        let tab = if self.pools.is_too_small() && self.gangs.is_too_small() { ", Tab" } else { "" };
        Some(format!("{what} {}-{end} of {all} (arrows, PgUp, PgDn{tab})", (start + 1).min(end)))
    }

    /// The table that keys are for: one that is too long.
    fn part(&self) -> Part {
        match (self.pools.is_too_small(), self.gangs.is_too_small()) {
            (true, true) | (false, false) if self.is_in_gangs => Part::Gangs,
            (false, true) => Part::Gangs,
            _ => Part::Pools,
        }
    }

    fn window(&mut self, part: Part) -> &mut Window {
        match part {
            Part::Pools => &mut self.pools,
            Part::Gangs => &mut self.gangs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(scroll: &mut Scroll, keys: &[KeyCode]) {
        keys.iter().for_each(|key| assert!(scroll.press(*key), "{key:?}"));
    }

    #[test]
    fn keys_move_within_what_there_is() {
        let mut scroll = Scroll::default();
        assert_eq!(scroll.rows(Part::Pools, 30, 10), 0..10);
        pressed(&mut scroll, &[KeyCode::Down, KeyCode::Char('j'), KeyCode::PageDown]);
        assert_eq!(scroll.rows(Part::Pools, 30, 10), 11..21);
        assert_eq!(scroll.place().as_deref(), Some("node pools 12-21 of 30 (arrows, PgUp, PgDn)"));
        pressed(&mut scroll, &[KeyCode::End, KeyCode::Down]);
        assert_eq!(scroll.rows(Part::Pools, 30, 10), 20..30);
        pressed(&mut scroll, &[KeyCode::Up, KeyCode::PageUp, KeyCode::PageUp, KeyCode::PageUp]);
        assert_eq!(scroll.rows(Part::Pools, 30, 10), 0..10);
        assert!(!scroll.press(KeyCode::Char('x')));
    }

    #[test]
    fn what_becomes_shorter_is_shown_to_its_end() {
        let mut scroll = Scroll::default();
        scroll.rows(Part::Pools, 30, 10);
        scroll.press(KeyCode::End);
        assert_eq!(scroll.rows(Part::Pools, 12, 10), 2..12);
        assert_eq!(scroll.rows(Part::Pools, 5, 10), 0..5);
        assert_eq!(scroll.place(), None);
        assert_eq!(scroll.rows(Part::Pools, 5, 0), 0..0, "no room at all");
    }

    #[test]
    fn keys_are_for_the_table_that_is_too_long_and_tab_is_for_two() {
        let mut scroll = Scroll::default();
        scroll.rows(Part::Pools, 3, 10);
        scroll.rows(Part::Gangs, 30, 10);
        scroll.press(KeyCode::Down);
        assert_eq!(scroll.rows(Part::Gangs, 30, 10), 1..11);
        scroll.rows(Part::Pools, 20, 10);
        scroll.press(KeyCode::Down);
        assert_eq!(scroll.rows(Part::Pools, 20, 10), 1..11);
        pressed(&mut scroll, &[KeyCode::Tab, KeyCode::End]);
        assert_eq!(scroll.rows(Part::Gangs, 30, 10), 20..30);
        assert_eq!(scroll.place().as_deref(), Some("gangs 21-30 of 30 (arrows, PgUp, PgDn, Tab)"));
    }
}
