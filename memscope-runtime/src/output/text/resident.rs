//! The lines about resident memory.

use std::fmt;

use crate::{
    model::{HumanBytes, Resident},
    snapshot::MemorySnapshot,
};

impl MemorySnapshot {
    /// Prints resident memory, its parts and the limit. Prints nothing for files of versions that
    /// did not read them.
    pub(super) fn resident_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.resident();
        let Some(resident) = it.resident_bytes else {
            // Only a version that reads it says how much memscope has.
            let is_known = it.memscope_bytes.is_some();
            return if is_known {
                f.write_str("resident memory: not known here\n")
            } else {
                Ok(())
            };
        };
        write!(f, "resident memory: {} = ", HumanBytes(resident))?;
        if let Some(live) = it.live_bytes {
            write!(f, "{} live + ", HumanBytes(live))?;
        }
        write!(f, "{} of memscope + ", HumanBytes(it.memscope_bytes.unwrap_or(0)))?;
        if let Some(free) = it.allocator_free_bytes {
            write!(f, "{} free in the allocator + ", HumanBytes(free))?;
        }
        let rest = it.rest_bytes.unwrap_or(0);
        let minus = if rest < 0 { "-" } else { "" };
        write!(f, "{minus}{} rest", HumanBytes(rest.unsigned_abs()))?;
        let is_measured = it.live_bytes.is_some();
        f.write_str(if is_measured {
            "\n"
        } else {
            ", live memory in it, which is not measured\n"
        })?;
        limit_line(&it, f)
    }
}

fn limit_line(it: &Resident, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (Some(limit), Some(used)) = (it.limit_bytes, it.limit_used_bytes) else { return Ok(()) };
    let percent = u128::from(used) * 100 / u128::from(limit.max(1));
    let [used, limit] = [used, limit].map(HumanBytes);
    writeln!(f, "limit: {used} of {limit}, {percent} % of {}", it.limit_source.words())
}

#[cfg(test)]
mod tests {
    use crate::{analysis::fixture::snapshot, model::LimitSource};
    use serde_json::json;

    #[test]
    fn the_parts_and_the_limit_are_in_the_first_lines() {
        let resident = json!({
            "resident_bytes": 338_690_048, "live_bytes": 734_003, "memscope_bytes": 1_048_576,
            "allocator_free_bytes": 325_058_560, "rest_bytes": 11_848_909, "limit_bytes": 536_870_912,
            "limit_used_bytes": 343_932_928, "limit_source": "cgroup_v2", "report_at": [0.8],
        });
        let shown = snapshot(&json!({ "resident": resident })).to_string();
        let line = "resident memory: 323.0 MiB = 716.8 KiB live + 1.0 MiB of memscope + 310.0 MiB free in the allocator + 11.3 MiB rest\n\
                    limit: 328.0 MiB of 512.0 MiB, 64 % of the limit of the control group\n";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn a_file_without_these_figures_has_none_of_them() {
        let old = snapshot(&json!({}));
        assert_eq!(old.resident().resident_bytes, None);
        assert_eq!(old.resident().limit_source, LimitSource::None);
        assert!(!old.to_string().contains("resident"), "{old}");
        let elsewhere = snapshot(&json!({ "resident": { "memscope_bytes": 5 } }));
        assert!(elsewhere.to_string().contains("resident memory: not known here\n"), "{elsewhere}");
    }
}
