//! What sliding-window operations share: pairs of attributes by axis, and their checks.

use super::Misfit;

/// Checks that both axes of `value` are at least 1.
pub(super) fn positive(what: &str, value: [usize; 2]) -> Result<(), Misfit> {
    if value[0] == 0 || value[1] == 0 {
        return Err(Misfit::Attribute(format!("{what} must be at least 1 on both axes, it is {value:?}")));
    }
    Ok(())
}
