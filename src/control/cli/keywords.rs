//! `tidegate keywords`: the rule language as this program knows it. `docs/keywords.md` is made of it.

use std::fmt::Write;
use std::process::ExitCode;

use super::common::print;
use crate::rules::keyword::{Keyword, table};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// As a Markdown table: what docs/keywords.md holds.
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = if args.markdown { markdown() } else { plain() };
    print(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn plain() -> String {
    let mut text = String::new();
    for keyword in table().iter() {
        let _ = writeln!(text, "{:24} {:12} {}", keyword.name, keyword.state(), keyword.doc);
    }
    text
}

fn markdown() -> String {
    let mut text = String::from(
        "# Rule keywords\n\nMade by `tidegate keywords --markdown`; a test holds it current. A rule that uses a keyword which is not\n\
         supported is refused with that reason; it is never half-honoured.\n\n\
         | keyword | aliases | arguments | state | what it does |\n|---|---|---|---|---|\n",
    );
    for keyword in table().iter() {
        let Keyword { name, aliases, arguments, doc, .. } = keyword;
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {} |",
            aliases.iter().map(|alias| format!("`{alias}`")).collect::<Vec<_>>().join(" "),
            cell(arguments),
            cell(&keyword.state()),
            cell(doc)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_keywords_md_is_what_the_program_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keywords.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed.trim_end() == markdown().trim_end(),
            "docs/keywords.md is out of date: run `cargo run -- keywords --markdown > docs/keywords.md`"
        );
    }
}
