//! The tests that `SECURITY.md` names.

use std::collections::BTreeSet;

/// Names in backticks in the rows of its tables.
pub fn named(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Names in backticks that are no test of any source.
pub fn missing<'a>(page: &'a str, sources: &[String]) -> Vec<&'a str> {
    let is_there = |name: &str| {
        // A test, or one that a macro makes of its name.
        let (function, made) = (format!("fn {name}("), format!("    {name}: "));
        sources.iter().any(|text| text.contains(&function) || text.contains(&made))
    };
    named(page).into_iter().filter(|name| !is_there(name)).collect()
}
