//! Whether a finding was seen for so long that it says something of a day.

use super::{
    finding::{Leak, Severity},
    options::LeakOptions,
};

/// What takes this many bytes, and half of the process, matters however young it is.
const LARGE_BYTES: u64 = 64 << 20;
/// … and this many may end it.
const HUGE_BYTES: u64 = 1 << 30;

/// Makes less of what was seen for a short time: a cache that fills, a warm-up and a step of load
/// look like a leak until they are over. `watched_ns`: how long the program was watched; `whole`:
/// the live bytes of the process.
pub(super) fn weigh(leak: &mut Leak, watched_ns: u64, whole: u64, options: &LeakOptions) {
    let is_lasting = leak.oldest_ns.unwrap_or(watched_ns) >= options.lasting_ns();
    if is_lasting || leak.cause.is_unreachable() {
        return;
    }
    let most = match leak.bytes {
        HUGE_BYTES.. => Severity::High,
        bytes @ LARGE_BYTES.. if bytes >= whole / 2 => Severity::Medium,
        _ => Severity::Low,
    };
    leak.severity = leak.severity.min(most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::leaks::LeakKind, model::Place};

    const MIB: u64 = 1 << 20;
    const MINUTE_NS: u64 = 60_000_000_000;

    /// The severity of a finding of this many MiB, which are half of the process, after this many
    /// minutes.
    fn weighed(mib: u64, minutes: u64) -> Severity {
        let place = Place { name: "s".to_owned(), file: "".into(), line: 0 };
        let mut leak = Leak {
            severity: Severity::High,
            bytes: mib * MIB,
            oldest_ns: Some(minutes * MINUTE_NS),
            ..Leak::at(LeakKind::Retained, place)
        };
        weigh(&mut leak, 0, 2 * mib * MIB, &LeakOptions::new());
        leak.severity
    }

    #[test]
    fn what_was_seen_for_less_than_an_hour_is_low_unless_it_is_large() {
        let mib = [1, 20, 63, 64, 1023, 1024];
        let low = [Severity::Low; 3];
        let large = [Severity::Medium, Severity::Medium, Severity::High];
        assert_eq!(mib.map(|mib| weighed(mib, 59)), [low, large].concat()[..]);
        assert_eq!(mib.map(|mib| weighed(mib, 60)), [Severity::High; 6]);
    }

    #[test]
    fn what_nothing_leads_to_is_lost_at_once() {
        let place = Place { name: "s".to_owned(), file: "".into(), line: 0 };
        let mut leak = Leak {
            severity: Severity::Medium,
            bytes: 2 * MIB,
            cause: crate::analysis::LeakCause::Cycle,
            ..Leak::at(LeakKind::Retained, place)
        };
        weigh(&mut leak, 0, 4 * MIB, &LeakOptions::new());
        assert_eq!(leak.severity, Severity::Medium);
    }
}
