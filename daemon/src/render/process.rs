//! `fork`, `exit`, `kill` and `ptrace`.

use super::{Attribution, Outcome, message};
use crate::decode::Record;
use crate::fields::Entries;
use crate::skel::types;

/// Adds what such a record has of its own.
pub(super) fn add(
    process: &types::process_record,
    record: &Record<'_>,
    result: Outcome,
    _to: &Attribution<'_>,
    out: &mut Entries,
) {
    let _ = process;
    message(record, record.event, result, out);
}
