//! What has passed once, kept in the tree.

use std::collections::BTreeSet;
use std::path::PathBuf;

use libtest_mimic::Failed;

/// Holds `passed` against the list `name`. Fails if something on the list did not pass.
pub fn hold(name: &str, passed: &BTreeSet<String>) -> Result<(), Failed> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scores").join(name);
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap())?;
        let lines: String = passed.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, lines)?;
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let standard: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let newly = passed.difference(&standard).count();
    if newly > 0 {
        println!("{newly} that are not in tests/golden/scores/{name} pass now: TIDEGATE_BLESS=1 takes them in");
    }
    let lost: Vec<&str> = standard.difference(passed).map(String::as_str).collect();
    match lost.is_empty() {
        true => Ok(()),
        false => Err(format!("{} no longer pass: {}", lost.len(), lost.join(", ")).into()),
    }
}
