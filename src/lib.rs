//! Testudo.
