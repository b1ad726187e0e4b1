//! The life cycle: command line, configuration, daemon, workers.

pub mod cli;

pub mod config;

pub mod rule_files;

pub mod data_files;

mod reload;

mod daemon;

mod takeover;

mod gate;

mod fates;

mod worker;

mod answer;

mod asking;

mod blocker;

mod tracking;

mod listener;

mod stats;

mod ledger;

mod commands;

mod flows;

mod socket;

pub mod replay;

pub mod lab;
