//! The metrics as a scraper reads them: the families, their figures, and texts that break no line.

use memscope_export::{MetricFamily, MetricValue, metric_families, metrics, open_metrics};
use serde_json::json;

use crate::support::{site, snapshot};

#[test]
fn the_text_is_open_metrics() {
    let polls = json!([{ "up_to": 1023, "count": 4 }, { "up_to": 1_048_575, "count": 2 }]);
    let orders = site("GET /\"orders\"\n\\", 3, 1_000, &json!({ "poll_histogram": polls }));
    let same_name = site("job", 4, 50, &json!({ "transferred_bytes": 30, "retained_bytes": 5 }));
    let job = site("job", 9, 7, &json!({ "task_type": "background" }));
    let text = open_metrics(&snapshot(&[orders, same_name.clone(), same_name, job], &json!({})));
    let expected = r#"# TYPE memscope_live_bytes gauge
# UNIT memscope_live_bytes bytes
# HELP memscope_live_bytes Bytes that the tasks of a site have allocated and that are not freed.
memscope_live_bytes{site="GET /\"orders\"\n\\",task_type="network"} 1000
memscope_live_bytes{site="job",task_type="network"} 100
memscope_live_bytes{site="job",task_type="background"} 7
# TYPE memscope_allocated_bytes counter
# UNIT memscope_allocated_bytes bytes
# HELP memscope_allocated_bytes Bytes of all allocations of the tasks of a site.
memscope_allocated_bytes_total{site="GET /\"orders\"\n\\",task_type="network"} 2000
memscope_allocated_bytes_total{site="job",task_type="network"} 140
memscope_allocated_bytes_total{site="job",task_type="background"} 14
# TYPE memscope_retained_bytes gauge
# UNIT memscope_retained_bytes bytes
# HELP memscope_retained_bytes Live bytes of the ended tasks of a site.
memscope_retained_bytes{site="job"} 10
memscope_retained_bytes{site="GET /\"orders\"\n\\"} 0
"#;
    assert!(text.starts_with(expected), "{text}");
    for line in [
        r#"memscope_tasks{site="job",task_type="network",state="active"} 8"#,
        r#"memscope_tasks{site="job",task_type="background",state="cancelled"} 2"#,
        "# TYPE memscope_poll_seconds histogram\n# UNIT memscope_poll_seconds seconds",
        r#"memscope_poll_seconds_bucket{le="0.000001023"} 4"#,
        r#"memscope_poll_seconds_bucket{le="0.000262143"} 4"#,
        r#"memscope_poll_seconds_bucket{le="0.001048575"} 6"#,
        r#"memscope_poll_seconds_bucket{le="17.179869183"} 6"#,
        r#"memscope_poll_seconds_bucket{le="+Inf"} 6"#,
        "memscope_poll_seconds_count 6",
        "memscope_process_untracked_bytes 1000",
        "memscope_events_dropped_total 5",
        "memscope_looks_total 3",
        "# TYPE memscope_longest_look_seconds gauge\n# UNIT memscope_longest_look_seconds seconds",
        "memscope_longest_look_seconds 0.00125",
        "memscope_own_bytes 2048",
    ] {
        assert!(text.contains(&format!("{line}\n")), "no {line} in\n{text}");
    }
    assert!(!text.contains("_sum") && !text.contains(r#"state="given_up""#), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn what_is_not_measured_is_absent() {
    let sites = [site("a", 1, 5, &json!({}))];
    let text = open_metrics(&snapshot(&sites, &json!({ "measured": "wrapped" })));
    for name in ["live", "allocated", "retained", "process"] {
        assert!(!text.contains(&format!("memscope_{name}_")), "{text}");
    }
    assert!(text.contains("memscope_tasks{") && text.contains("memscope_poll_seconds_count 0\n"));
    let text = open_metrics(&snapshot(&sites, &json!({ "timing_is_off": true })));
    assert!(!text.contains("memscope_poll_seconds"), "{text}");
}

#[test]
fn a_thousand_sites_are_two_hundred_series_and_the_sum_stays() {
    let named =
        |number| site(&format!("s{number}"), number, 10_000 + u64::from(number), &json!({}));
    let mut sites: Vec<_> = (0..1_000).map(named).collect();
    sites.push(site("(other)", 0, 1, &json!({ "task_type": "unspecified" })));
    let snapshot = snapshot(&sites, &json!({}));
    let families = metrics(&snapshot);
    for name in ["memscope_live_bytes", "memscope_allocated_bytes", "memscope_retained_bytes"] {
        let family = families.iter().find(|it| it.name == name).expect(name);
        assert_eq!(family.series.len(), 201, "{name}");
    }
    let sum = |name: &str| -> u64 {
        let family = families.iter().find(|it| it.name == name).expect(name);
        let numbers = family.series.iter().map(|it| match it.value {
            MetricValue::Number(number) => number,
            MetricValue::Nanoseconds(_) | MetricValue::Histogram { .. } => 0,
        });
        numbers.sum()
    };
    assert_eq!(sum("memscope_live_bytes"), snapshot.live_memory_bytes());
    assert_eq!(sum("memscope_allocated_bytes"), snapshot.total_memory_bytes());
}

#[test]
fn every_family_is_declared_and_has_figures_where_all_is_measured() {
    let resident = json!({
        "resident_bytes": 9, "limit_bytes": 8, "limit_used_bytes": 7, "allocator_free_bytes": 6,
    });
    let snapshot = snapshot(&[site("a", 1, 5, &json!({}))], &json!({ "resident": resident }));
    let families = metrics(&snapshot);
    assert!(families.iter().all(|family| !family.series.is_empty()), "{families:?}");
    let empty = families.into_iter().map(|family| MetricFamily { series: Vec::new(), ..family });
    assert_eq!(empty.collect::<Vec<_>>(), metric_families());
}
