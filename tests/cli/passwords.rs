//! Passwords are never arguments.

use super::run::Place;

/// All verbs of a help text, with those below them.
fn verbs(place: &Place, path: &str) -> Vec<String> {
    let help = place.run(&format!("{path} --help")).text();
    let Some(list) = help.split("Commands:\n").nth(1) else { return vec![path.to_string()] };
    let names = list.lines().take_while(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.split_whitespace().next()?;
        (line.starts_with("  ") && !line.starts_with("   ") && name != "help").then_some(name)
    });
    names.flat_map(|name| verbs(place, format!("{path} {name}").trim())).collect()
}

#[test]
fn no_verb_takes_a_password_as_a_word() {
    let place = Place::new();
    let verbs = verbs(&place, "");
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in &verbs {
        let help = place.run(&format!("{verb} --help")).text();
        for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
            let takes_value = line.contains('<');
            let harmless = ["file", "fd"].iter().any(|word| line.to_lowercase().contains(word));
            assert!(
                !line.contains("password") || !takes_value || harmless,
                "{verb} takes a password as an argument: {line}"
            );
        }
    }
}
