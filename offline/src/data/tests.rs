//! Readers against files with every kind of damage.
