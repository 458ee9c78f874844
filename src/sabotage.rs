//! Planted bugs: `sabotage!("name")` is `false` at compile time, but in a build with the feature `sabotage`, where it
//! asks whether the environment variable `REPLIQ_SABOTAGE` names this bug.
//!
//! They prove that the tests can fail: `tests/planted.rs` makes the build, turns one bug on after the other and
//! wants each found by the tier named for it. A name of two or more places is one bug.

/// Whether the bug of this name is there.
#[cfg(not(feature = "sabotage"))]
macro_rules! sabotage {
    ($name:literal) => {
        false
    };
}

/// Whether the bug of this name is there.
#[cfg(feature = "sabotage")]
macro_rules! sabotage {
    ($name:literal) => {
        $crate::sabotage::is_on(concat!("planted: ", $name))
    };
}

/// Whether the environment names this bug.
#[cfg(feature = "sabotage")]
pub(crate) fn is_on(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("REPLIQ_SABOTAGE").ok());
    chosen.as_deref().is_some_and(|chosen| name.strip_prefix("planted: ") == Some(chosen))
}
