//! `setuid`, `setgid`, `capset` and `bpf`.

use super::{Outcome, message};
use crate::decode::Record;
use crate::fields::Entries;
use crate::skel::types;

/// Adds what a record of `setuid`, `setgid` or `capset` has of its own.
pub(super) fn add_credentials(
    credentials: &types::credentials_record,
    record: &Record<'_>,
    result: Outcome,
    out: &mut Entries,
) {
    let _ = credentials;
    message(record, record.event, result, out);
}

/// Adds what a record of `bpf` has of its own.
pub(super) fn add_bpf(bpf: &types::bpf_record, record: &Record<'_>, result: Outcome, out: &mut Entries) {
    let _ = bpf;
    message(record, record.event, result, out);
}
