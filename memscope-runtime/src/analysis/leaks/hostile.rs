//! Snapshots that no program made: whatever their numbers, nothing panics, and what is printed is
//! bounded.

use proptest::{prelude::*, test_runner::Config};
use serde_json::{Value, json};

use super::{LeakOptions, Leaks};
use crate::{
    analysis::AsyncAnalyzer,
    analysis::fixture::{hand_over, site, snapshot_json, task, trend, variable},
    snapshot::MemorySnapshot,
};

/// A snapshot with a bit of everything, so that each number can go wrong.
fn rich() -> Value {
    let retained = json!({
        "retained_bytes": 1 << 20, "retained_tasks": 96, "retained_waves": 96,
        "retained_by_eighth": [12, 12, 12, 12, 12, 12, 12, 12], "oldest_retained_ns": 5, "argument_bytes": 600,
    });
    let rising = [0, 1, 2, 3, 4, 5].map(|step| (step << 17, step << 18));
    snapshot_json(&json!({
        "sites": [site("a", &retained), site("b", &json!({})), site("", &retained)],
        "tasks": [
            task(1, "a", &json!({ "idle_ns": 1_000_000_000_000_u64, "cell_bytes": 100 })),
            task(2, "b", &json!({ "idle_ns": 1_000_000_000_000_u64, "future_type": "\u{1b}" })),
            task(2, "b", &json!({ "live_bytes": 5 << 17, "peak_bytes": 5 << 17 })),
            task(3, "a", &json!({ "state": "panicked" })),
        ],
        "variables": [variable("v\n", 1, &json!({})), variable("v", 3, &json!({}))],
        "hand_overs": [hand_over(Some("a"), Some("b"), 1, 2), hand_over(None, None, 1, 2), hand_over(Some("a"), None, 3, 4)],
        "trends": [trend(Some(2), "b", &rising), trend(None, "b", &rising), trend(None, "a", &[]), trend(None, "", &rising[..2])],
    }))
}

/// Replaces numbers, in the order in which they stand: each takes the next of `values`, or stays
/// where that is `None`.
fn change(value: &mut Value, at: &mut usize, values: &[Option<u64>]) {
    match value {
        Value::Number(number) => {
            if let Some(Some(other)) = values.get(*at % values.len()) {
                *number = (*other).into();
            }
            *at += 1;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| change(item, at, values)),
        Value::Object(fields) => fields
            .iter_mut()
            // These have limits of their own, which serde enforces.
            .filter(|(name, _)| !["id", "task", "line", "parent"].contains(&name.as_str()))
            .for_each(|(_, field)| change(field, at, values)),
        _ => {}
    }
}

fn number() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(0)),
        1 => Just(Some(u64::MAX)),
        1 => Just(Some(u64::MAX / 2 + 1)),
        1 => any::<u64>().prop_map(Some),
        1 => (0..1000_u64).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_number_makes_it_panic(values in prop::collection::vec(number(), 1..400)) {
        let mut json = rich();
        change(&mut json, &mut 0, &values);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        for options in [
            LeakOptions::new(),
            LeakOptions::new().stuck_after(std::time::Duration::ZERO).least_waves(0).least_retained(0).least_growth(0),
            LeakOptions::new().patience(std::time::Duration::MAX).stuck_after(std::time::Duration::MAX),
        ] {
            let leaks = snapshot.leaks_with(&options);
            let shown = leaks.to_string();
            prop_assert!(shown.lines().count() < 60, "{shown}");
            prop_assert!(!shown.chars().any(|character| character.is_control() && character != '\n'));
            let json = serde_json::to_string(&leaks).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Leaks>(&json).expect("leaks"), leaks);
        }
        let report = AsyncAnalyzer::new().analyze_future_states(&snapshot.allocations());
        prop_assert!(report.average_future_size <= report.largest_future_size || report.future_state_overhead == usize::MAX);
        prop_assert!(report.to_string().lines().count() < 40);
    }
}

#[test]
fn many_findings_are_cut_and_none_is_lost() {
    let rows: Vec<Value> = (1..=50)
        .map(|id| task(id, &format!("site{id}"), &json!({ "idle_ns": 1_000_000_000_000_u64 })))
        .collect();
    let snapshot: MemorySnapshot =
        serde_json::from_value(snapshot_json(&json!({ "tasks": rows }))).expect("a snapshot");
    let leaks =
        snapshot.leaks_with(&LeakOptions::new().stuck_after(std::time::Duration::from_secs(1)));
    assert_eq!(leaks.len(), 50);
    assert!(leaks.to_string().contains("… and 40 more (all of them with `{:#}`)"), "{leaks}");
    assert!(format!("{leaks:#}").contains("site50 "), "{leaks:#}");
}
