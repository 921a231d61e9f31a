//! A report for people: one HTML page with a table of what was measured and plots of how it went.
//!
//! The page needs nothing but itself: the plots are SVG, there is no script, and nothing is loaded. The same report gives
//! the same bytes.

pub mod axis;
pub mod chart;
pub mod course;
pub mod page;
pub mod palette;
pub mod plots;
mod table;
pub mod words;

#[cfg(test)]
mod tests;
