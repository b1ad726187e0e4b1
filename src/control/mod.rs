//! The life cycle: command line, configuration, daemon, workers.

pub mod config;

pub mod replay;
