//! What a dependency may be, as `deny.toml` says it: its licence, its source, and the names that are refused.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The rules of `deny.toml` that are checked here.
struct Rules {
    allowed: Vec<String>,
    exceptions: Vec<(String, Vec<String>)>,
    refused: Vec<String>,
}

impl Rules {
    fn read(root: &str) -> Rules {
        let text = std::fs::read_to_string(Path::new(root).join("deny.toml")).unwrap();
        let all: toml::Table = text.parse().unwrap();
        let strings = |value: &toml::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().into()).collect()
        };
        let exceptions = all["licenses"]["exceptions"].as_array().unwrap().iter();
        Rules {
            allowed: strings(&all["licenses"]["allow"]),
            exceptions: exceptions
                .map(|one| (one["crate"].as_str().unwrap().into(), strings(&one["allow"])))
                .collect(),
            refused: strings(&all["bans"]["deny"]),
        }
    }

    /// What is wrong with a package, if anything.
    fn judge(&self, name: &str, licence: Option<&str>, source: Option<&str>) -> Option<String> {
        let source = source?;
        if self.refused.iter().any(|refused| refused == name) {
            return Some(format!("{name} is refused by name"));
        }
        if !source.starts_with("registry+") {
            return Some(format!("{name} comes from {source}"));
        }
        let extra = self.exceptions.iter().filter(|(of, _)| of == name);
        let allowed: Vec<&String> =
            self.allowed.iter().chain(extra.flat_map(|(_, more)| more)).collect();
        let licence = licence.unwrap_or("");
        let may = |one: &str| {
            let one = one.trim().trim_matches(['(', ')']).trim();
            let plain = one.split(" WITH ").next().unwrap_or(one);
            allowed.iter().any(|allowed| *allowed == plain)
        };
        // Each part joined by AND must leave a choice: brackets only ever hold one such part.
        let fine =
            licence.split(" AND ").all(|part| part.replace('/', " OR ").split(" OR ").any(may));
        (!fine).then(|| format!("{name} has the licence {licence:?}"))
    }
}

/// What is wrong with the dependencies of the package at `root`.
pub fn judge(root: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = all["packages"].as_array().unwrap();
    assert!(packages.len() > 20, "{} packages cannot be all", packages.len());
    let rules = Rules::read(root);
    let text = |package: &Value, field: &str| package[field].as_str().map(String::from);
    packages
        .iter()
        .filter_map(|package| {
            let (licence, source) = (text(package, "license"), text(package, "source"));
            rules.judge(package["name"].as_str().unwrap(), licence.as_deref(), source.as_deref())
        })
        .collect()
}

/// The same rules on made-up packages.
pub fn judge_one(root: &str, name: &str, licence: Option<&str>, source: &str) -> Option<String> {
    Rules::read(root).judge(name, licence, Some(source))
}
