//! The system's clock.

use std::time::SystemTime;

/// Microseconds since 1970-01-01 UTC by the system's clock.
pub(crate) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
