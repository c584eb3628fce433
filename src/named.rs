//! Enums whose names stand in files, options, logs and metrics.

/// The name of a value. Users see it by `Display`.
pub trait Named: Copy {
    /// Its name. It never changes.
    #[must_use]
    fn name(self) -> &'static str;
}

/// Prints values by their names.
macro_rules! displayed_by_name {
    ($($named:ty),* $(,)?) => { $(
        impl std::fmt::Display for $named {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(crate::named::Named::name(*self))
            }
        }
    )* };
}

pub(crate) use displayed_by_name;
