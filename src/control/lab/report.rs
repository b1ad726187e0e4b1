//! What the lab found out, as a table for people and as one object for machines.

use std::error::Error;
use std::fmt::Write;

use serde::Serialize;

use super::judge::Row;
use super::latency::{Cost, Spread};

/// Everything that is printed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub ok: bool,
    /// How the gate works on this kernel, in its own words.
    pub mode: String,
    pub kernel: String,
    pub traffic: Vec<Row>,
    pub checks: Vec<Check>,
    pub without_gate: Cost,
    pub with_gate: Cost,
    pub seconds: f64,
}

/// Something that must hold beside the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub what: &'static str,
    pub happened: String,
    pub ok: bool,
}

impl Check {
    /// A check that could not be made.
    #[must_use]
    pub fn failed(what: &'static str, error: &dyn Error) -> Check {
        let mut happened = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            happened += &format!(": {error}");
            cause = error.source();
        }
        Check { what, happened, ok: false }
    }
}

impl Report {
    /// The tables as text. `colours` only for terminals.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        let mut rows = vec![["sent", "over", "should", "what happened", "sid", "ok"].map(str::to_owned)];
        rows.extend(self.traffic.iter().map(cells));
        let mut text = format!("Mode: {}\nKernel: {}\n\n", self.mode, self.kernel);
        text += &table(&rows, colours);
        text += "\n";
        text += &table(&self.costs(), false);
        text += "\n";
        text + &self.render_checks(colours)
    }

    /// The checks and the last line: what is still to be said when the rest was shown before.
    #[must_use]
    pub fn render_checks(&self, colours: bool) -> String {
        let mut rows = vec![["check", "what happened", "ok"].map(str::to_owned)];
        rows.extend(self.checks.iter().map(|check| [check.what.to_owned(), check.happened.clone(), yes(check.ok)]));
        let mut text = table(&rows, colours);
        let (right, all) = (self.right_count(), self.traffic.len().saturating_add(self.checks.len()));
        let _ = write!(text, "\n{right} of {all} as they should be, in {:.1} s: ", self.seconds);
        text + if self.ok { "the gate works.\n" } else { "the gate does NOT work as it should.\n" }
    }

    /// Makes `ok` say what the rows say.
    pub fn settle(&mut self) {
        self.ok = self.traffic.iter().all(|row| row.ok) && self.checks.iter().all(|check| check.ok);
    }

    fn right_count(&self) -> usize {
        let traffic = self.traffic.iter().filter(|row| row.ok).count();
        traffic.saturating_add(self.checks.iter().filter(|check| check.ok).count())
    }

    fn costs(&self) -> Vec<[String; 4]> {
        let mut rows = vec![["cost of inspection", "without gate", "with gate", "difference"].map(str::to_owned)];
        let mut time = |what: &str, pick: fn(&Cost) -> f64| {
            let (without, with) = (pick(&self.without_gate), pick(&self.with_gate));
            rows.push([what.to_owned(), micros(without), micros(with), slower(without, with)]);
        };
        time("request on an open connection, p50", |cost| cost.request.p50_us);
        time("request on an open connection, p99", |cost| cost.request.p99_us);
        time("connect and request, p50", |cost| cost.connection.p50_us);
        time("connect and request, p99", |cost| cost.connection.p99_us);
        let (without, with) = (self.without_gate.download_mb_per_s, self.with_gate.download_mb_per_s);
        let rate = |mb_per_s: f64| format!("{mb_per_s:.0} MB/s");
        rows.push(["download".to_owned(), rate(without), rate(with), format!("x {:.2}", ratio(without, with))]);
        rows
    }
}

/// Rows aligned in columns, a rule under the first.
#[must_use]
pub fn table<const N: usize>(rows: &[[String; N]], colours: bool) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = line.join("  ");
        let line = line.trim_end();
        let failed = colours && row.last().is_some_and(|cell| cell == NO);
        text += &if failed { format!("\x1b[31m{line}\x1b[0m\n") } else { format!("{line}\n") };
        if index == 0 {
            let width = widths.iter().sum::<usize>().saturating_add(2_usize.saturating_mul(N.saturating_sub(1)));
            text += &"-".repeat(width);
            text += "\n";
        }
    }
    text
}

const NO: &str = "NO";

fn yes(ok: bool) -> String {
    if ok { "ok" } else { NO }.to_owned()
}

/// A row of the traffic table.
#[must_use]
pub fn cells(row: &Row) -> [String; 6] {
    let sid = row.sid.map(|sid| sid.to_string()).unwrap_or_default();
    [row.sent.clone(), row.over.to_owned(), row.should.clone(), row.happened.clone(), sid, yes(row.ok)]
}

fn micros(us: f64) -> String {
    format!("{us:.0} us")
}

fn slower(without: f64, with: f64) -> String {
    format!("x {:.2}, {:+.0} us", ratio(without, with), with - without)
}

fn ratio(without: f64, with: f64) -> f64 {
    if without > 0.0 { with / without } else { 0.0 }
}

impl Cost {
    /// Before anything is measured.
    pub const NONE: Cost = Cost { request: Spread::NONE, connection: Spread::NONE, download_mb_per_s: 0.0 };
}

impl Spread {
    const NONE: Spread = Spread { p50_us: 0.0, p99_us: 0.0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a", "second", "ok"], ["longer", "b", "NO"], ["é", "", "ok"]].map(|row| row.map(str::to_owned));
        let text = table(&rows, false);
        assert_eq!(text, "a       second  ok\n------------------\nlonger  b       NO\né               ok\n");
        assert!(table(&rows, true).contains("\x1b[31mlonger  b       NO\x1b[0m"), "what failed stands out");
    }

    #[test]
    fn a_report_says_what_failed_and_what_it_cost() {
        let spread = |p50_us, p99_us| Spread { p50_us, p99_us };
        let row = |ok| Row {
            sent: "GET /".into(),
            over: "IPv4",
            should: "pass".into(),
            happened: "1 of 1 answered".into(),
            sid: None,
            ok,
        };
        let report = Report {
            ok: false,
            mode: "full".into(),
            kernel: "6.12".into(),
            traffic: vec![row(true), row(false)],
            checks: vec![Check { what: "counters", happened: "1 offered".into(), ok: true }],
            without_gate: Cost {
                request: spread(100.0, 200.0),
                connection: spread(1.0, 2.0),
                download_mb_per_s: 900.0,
            },
            with_gate: Cost { request: spread(150.0, 500.0), connection: spread(1.0, 2.0), download_mb_per_s: 450.0 },
            seconds: 9.04,
        };
        let text = report.render(false);
        for part in
            ["x 1.50, +50 us", "x 2.50, +300 us", "x 0.50", "2 of 3 as they should be, in 9.0 s", "NOT", "Mode: full"]
        {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }
}
